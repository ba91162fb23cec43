//! The gateway beside nginx and a bare hyper proxy over loopback sockets: CPU of the proxy for each request, as ratios.
//!
//! `cargo bench --bench sockets -- --help` lists the options; `benches/README.md` says how to read the table.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

mod backend;
mod bare;
mod check;
mod idle;
mod load;
mod measure;
mod mounted;
mod options;
mod peers;
mod process;
mod report;

use std::process::ExitCode;

use options::Options;

/// Why there is no result.
enum Failure {
    /// The machine or the command line lacks something: the message says what to do. Exit code 2.
    Unable(String),
    /// A peer, the load or a measurement went wrong. Exit code 1.
    Failed(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Failed(message)
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let outcome = if has("--role") {
        serve(&args)
    } else if !has("--bench") || has("--test") || has("--list") {
        // Only `cargo bench` passes `--bench`: a test run must neither measure nor list anything here.
        Ok(())
    } else if has("--help") {
        println!("{}", options::HELP);
        Ok(())
    } else {
        Options::parse(&args).and_then(|options| run(&options))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Unable(message)) => {
            eprintln!("sockets: {message}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(message)) => {
            eprintln!("sockets: {message}");
            ExitCode::FAILURE
        }
    }
}

/// One of the servers that the bench starts as a process of its own.
fn serve(args: &[String]) -> Result<(), Failure> {
    let role = options::Role::parse(args)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        match role {
            options::Role::Backend { listen } => backend::serve(listen).await,
            options::Role::Bare { listen, upstream } => bare::serve(listen, upstream).await,
            options::Role::Axum { listen, upstream } => mounted::serve(listen, upstream).await,
        }
    })?;
    Ok(())
}

fn run(options: &Options) -> Result<(), Failure> {
    process::require_tools(options)?;
    process::raise_file_limit(2 * options.connections.max(options.idle.unwrap_or(0)) + 256)?;
    let stage = peers::Stage::set(options)?;
    for peer in &stage.peers {
        check::answers(peer, options)?;
    }
    match options.idle {
        Some(count) => idle::run(&stage.peers, count, options)?,
        None => report::write(&measure::run(&stage.peers, options)?, options)?,
    }
    Ok(())
}
