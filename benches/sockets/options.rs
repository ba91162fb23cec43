//! The command line of the bench and of the roles that it starts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::slice::Iter;
use std::str::FromStr;

use crate::Failure;
use crate::backend;

pub(crate) const HELP: &str = "\
Usage: cargo bench --bench sockets -- [options]

  --path PATH        /1k (default), /64k, /1m: the size of the answer; /headers/1k and so on: with twelve headers more
  --api-headers      the load sends twelve headers as API clients do
  --connections N    requests in flight (64); over HTTP/2 as up to eight streams on each connection
  --http2            HTTP/2 with prior knowledge to the proxies, HTTP/1.1 from them to the backend
  --seconds N        length of one sample (1)
  --rounds N         rounds, each with one sample of every peer (9)
  --only LIST        some of nginx,bare,gateway,axum (default: all but axum, the gateway mounted in axum)
  --gateway COMMAND  starts the gateway; --listen ADDR --upstream URL --threads 1 are appended
                     (default: the release build of the example reverse_proxy)
  --json FILE        also write every sample
  --idle N           instead: memory for each of N idle keep-alive connections (HTTP/1.1)";

/// The most connections that loopback's port range and a usual file limit can hold.
const CONNECTIONS_MAX: usize = 20_000;

/// What one run does.
pub(crate) struct Options {
    pub(crate) path: String,
    /// Bytes of the answer's body, as `path` says.
    pub(crate) size: usize,
    pub(crate) api_headers: bool,
    pub(crate) connections: usize,
    pub(crate) http2: bool,
    pub(crate) seconds: u64,
    pub(crate) rounds: usize,
    pub(crate) only: Vec<String>,
    pub(crate) gateway: Option<String>,
    pub(crate) json: Option<PathBuf>,
    pub(crate) idle: Option<usize>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut options = Self {
            path: "/1k".to_owned(),
            size: 0,
            api_headers: false,
            connections: 64,
            http2: false,
            seconds: 1,
            rounds: 9,
            only: peers_named("nginx,bare,gateway")?,
            gateway: None,
            json: None,
            idle: None,
        };
        let mut args = args.iter();
        while let Some(name) = args.next() {
            match name.as_str() {
                "--bench" => {}
                "--http2" => options.http2 = true,
                "--api-headers" => options.api_headers = true,
                "--path" => options.path = value(name, &mut args)?,
                "--connections" => options.connections = count(name, &mut args, CONNECTIONS_MAX)?,
                "--seconds" => options.seconds = count(name, &mut args, 60)? as u64,
                "--rounds" => options.rounds = count(name, &mut args, 1000)?,
                "--only" => options.only = peers_named(&value::<String>(name, &mut args)?)?,
                "--gateway" => options.gateway = Some(value(name, &mut args)?),
                "--json" => options.json = Some(value(name, &mut args)?),
                "--idle" => options.idle = Some(count(name, &mut args, CONNECTIONS_MAX)?),
                _ => return Err(usage(format!("unknown option {name:?}"))),
            }
        }
        options.size = backend::size(&options.path).ok_or_else(|| {
            usage(format!(
                "--path {:?} is none that the backend has",
                options.path
            ))
        })?;
        if options.idle.is_some() && options.http2 {
            return Err(usage(
                "--idle measures HTTP/1.1 connections, not --http2".to_owned(),
            ));
        }
        Ok(options)
    }
}

/// A server that the bench runs in a process of its own.
pub(crate) enum Role {
    Backend {
        listen: SocketAddr,
    },
    Bare {
        listen: SocketAddr,
        upstream: SocketAddr,
    },
    Axum {
        listen: SocketAddr,
        upstream: SocketAddr,
    },
}

impl Role {
    /// Takes the gateway's options too, so that the bare proxy may stand in for the gateway.
    pub(crate) fn parse(args: &[String]) -> Result<Self, Failure> {
        let (mut role, mut listen, mut upstream) = (None, None, None);
        let mut args = args.iter();
        while let Some(name) = args.next() {
            match name.as_str() {
                "--role" => role = Some(value::<String>(name, &mut args)?),
                "--listen" => listen = Some(value(name, &mut args)?),
                "--upstream" => {
                    let url: String = value(name, &mut args)?;
                    let address = url.strip_prefix("http://").unwrap_or(&url).parse();
                    upstream =
                        Some(address.map_err(|_| {
                            usage(format!("--upstream {url:?} is no http://IP:PORT"))
                        })?);
                }
                "--threads" => drop(value::<String>(name, &mut args)?),
                _ => return Err(usage(format!("unknown option {name:?} of a role"))),
            }
        }
        match (role.as_deref(), listen, upstream) {
            (Some("backend"), Some(listen), _) => Ok(Self::Backend { listen }),
            (Some("bare"), Some(listen), Some(upstream)) => Ok(Self::Bare { listen, upstream }),
            (Some("axum"), Some(listen), Some(upstream)) => Ok(Self::Axum { listen, upstream }),
            _ => Err(usage("a role is --role backend --listen ADDR or --role bare|axum --listen ADDR --upstream URL".to_owned())),
        }
    }
}

fn peers_named(list: &str) -> Result<Vec<String>, Failure> {
    let names: Vec<String> = list.split(',').map(str::to_owned).collect();
    match names
        .iter()
        .find(|name| !matches!(name.as_str(), "nginx" | "bare" | "gateway" | "axum"))
    {
        Some(name) => Err(usage(format!(
            "--only knows nginx, bare, gateway and axum, not {name:?}"
        ))),
        None => Ok(names),
    }
}

fn value<T: FromStr>(name: &str, args: &mut Iter<'_, String>) -> Result<T, Failure> {
    let text = args
        .next()
        .ok_or_else(|| usage(format!("{name} needs a value")))?;
    text.parse()
        .map_err(|_| usage(format!("{name} {text:?} is not understood")))
}

fn count(name: &str, args: &mut Iter<'_, String>, max: usize) -> Result<usize, Failure> {
    let number = value(name, args)?;
    if (1..=max).contains(&number) {
        Ok(number)
    } else {
        Err(usage(format!(
            "{name} {number} is out of range: 1 to {max}"
        )))
    }
}

fn usage(message: String) -> Failure {
    Failure::Unable(format!("{message}\n\n{HELP}"))
}
