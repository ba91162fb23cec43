mod authorize;
mod service;
