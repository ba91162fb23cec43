mod gcra;
mod policy;
mod window;
