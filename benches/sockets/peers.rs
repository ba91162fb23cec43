//! The stage: the backend, and the proxies in front of it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::options::Options;
use crate::process::{LOAD_CORE, PROXY_CORE, Process, find};

const BUILD_GATEWAY: &str = "cargo build --release --example reverse_proxy";

/// A proxy that can be measured.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
}

/// Everything that runs beside the load. Dropping it ends the processes, the proxies before the backend.
pub(crate) struct Stage {
    /// The first one is what the others are compared to.
    pub(crate) peers: Vec<Peer>,
    _backend: Process,
    _scratch: Scratch,
}

impl Stage {
    pub(crate) fn set(options: &Options) -> Result<Self, Failure> {
        let scratch = Scratch::new()?;
        let wanted = |name| options.only.iter().any(|only| only == name);
        // The cheapest check first: nothing runs yet when the gateway turns out not to be built.
        let gateway = if wanted("gateway") {
            Some(gateway_command(options)?)
        } else {
            None
        };

        let upstream = free_address()?;
        let backend = Process::start(
            "backend",
            LOAD_CORE,
            &own_role("backend", upstream, None)?,
            upstream,
        )?;
        let mut peers = Vec::new();
        let mut start = |name, address, command: &[String]| -> Result<(), Failure> {
            let process = Process::start(name, PROXY_CORE, command, address)?;
            peers.push(Peer {
                name,
                address,
                process,
            });
            Ok(())
        };
        if wanted("nginx") {
            if let Some(program) = find("nginx") {
                let address = free_address()?;
                start(
                    "nginx",
                    address,
                    &nginx_command(&program, &scratch.0, address, upstream, options)?,
                )?;
            } else {
                eprintln!(
                    "sockets: nginx is not installed and left out: apt-get install nginx-light"
                );
            }
        }
        if wanted("bare") {
            let address = free_address()?;
            start("bare", address, &own_role("bare", address, Some(upstream))?)?;
        }
        if wanted("axum") {
            let address = free_address()?;
            start("axum", address, &own_role("axum", address, Some(upstream))?)?;
        }
        if let Some(mut command) = gateway {
            let address = free_address()?;
            command.extend(listen_and_upstream(address, Some(upstream)));
            command.extend(["--threads", "1"].map(str::to_owned));
            start("gateway", address, &command)?;
        }
        if peers.is_empty() {
            return Err(Failure::Unable("no peer is left to measure".to_owned()));
        }
        Ok(Self {
            peers,
            _backend: backend,
            _scratch: scratch,
        })
    }
}

/// A directory below `target` for as long as the bench runs.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, String> {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("sockets-{}", std::process::id()));
        fs::create_dir_all(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A loopback address that nobody listens on.
fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port on loopback: {error}"))
}

fn listen_and_upstream(listen: SocketAddr, upstream: Option<SocketAddr>) -> Vec<String> {
    let mut args = vec!["--listen".to_owned(), listen.to_string()];
    if let Some(upstream) = upstream {
        args.extend(["--upstream".to_owned(), format!("http://{upstream}")]);
    }
    args
}

fn own_executable() -> Result<PathBuf, String> {
    std::env::current_exe().map_err(|error| format!("the bench does not find itself: {error}"))
}

fn own_role(
    role: &str,
    listen: SocketAddr,
    upstream: Option<SocketAddr>,
) -> Result<Vec<String>, String> {
    let executable = own_executable()?.to_string_lossy().into_owned();
    let mut command = vec![executable, "--role".to_owned(), role.to_owned()];
    command.extend(listen_and_upstream(listen, upstream));
    Ok(command)
}

fn gateway_command(options: &Options) -> Result<Vec<String>, Failure> {
    if let Some(command) = &options.gateway {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        return match words.first() {
            Some(program) if find(program).is_some() => Ok(words),
            _ => Err(Failure::Unable(format!(
                "--gateway {command:?} names no program that can be started"
            ))),
        };
    }
    // The bench is target/release/deps/sockets-HASH, the example stands in target/release/examples.
    let executable = own_executable()?;
    let example = executable
        .ancestors()
        .nth(2)
        .map(|release| release.join("examples/reverse_proxy"));
    match example {
        Some(path) if path.is_file() => Ok(vec![path.to_string_lossy().into_owned()]),
        _ => Err(Failure::Unable(format!(
            "the gateway is not built: {BUILD_GATEWAY}"
        ))),
    }
}

/// nginx as a person would set it up who wants it to be fast at this: one worker, kept connections on both sides,
/// no access log, and buffers that hold the answer where the default ones would not.
fn nginx_command(
    program: &Path,
    scratch: &Path,
    listen: SocketAddr,
    upstream: SocketAddr,
    options: &Options,
) -> Result<Vec<String>, String> {
    let most = options.connections.max(options.idle.unwrap_or(0));
    // Spelled so for all versions: the newer directive is unknown to those before 1.25.1.
    let http2 = if options.http2 { " http2" } else { "" };
    let buffers = if options.size > 4096 {
        "proxy_buffer_size 64k; proxy_buffers 16 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;"
    } else {
        ""
    };
    let config = format!(
        "\
worker_processes 1;
daemon off;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections {worker_connections}; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    keepalive_timeout 1h;
    client_body_temp_path client; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    upstream backend {{
        server {upstream};
        keepalive {idle};
        keepalive_requests 1000000000;
        keepalive_timeout 1h;
    }}
    server {{
        listen {listen}{http2};
        location / {{
            proxy_pass http://backend;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            {buffers}
        }}
    }}
}}
",
        worker_connections = 2 * most + 512,
        idle = 2 * options.connections + 64,
    );
    let file = scratch.join("nginx.conf");
    fs::write(&file, config).map_err(|error| format!("{}: {error}", file.display()))?;
    let [program, prefix, file] =
        [program, scratch, &file].map(|path| path.to_string_lossy().into_owned());
    Ok(vec![
        program,
        "-e".to_owned(),
        "stderr".to_owned(),
        "-p".to_owned(),
        prefix,
        "-c".to_owned(),
        file,
    ])
}
