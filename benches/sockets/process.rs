//! Child processes: pinned to a core, accounted for, and ended with the bench.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::options::Options;

/// The core of the proxy under measurement.
pub(crate) const PROXY_CORE: usize = 0;
/// The core of the load and the backend.
pub(crate) const LOAD_CORE: usize = 1;

/// Linux counts CPU in `/proc` in this unit on every architecture that it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;
const START_TIMEOUT: Duration = Duration::from_secs(10);
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// A running server, ended when it is dropped.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
}

impl Process {
    /// Starts `command` on `core`, and waits until it takes connections at `address`.
    pub(crate) fn start(
        name: &'static str,
        core: usize,
        command: &[String],
        address: SocketAddr,
    ) -> Result<Self, String> {
        let child = pinned(core, command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("{name} did not start: {error}"))?;
        let mut process = Self { name, child };
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_err() {
            process.still_runs()?;
            if begun.elapsed() > START_TIMEOUT {
                return Err(format!(
                    "{name} took no connection at {address} in {START_TIMEOUT:?}"
                ));
            }
            thread::sleep(Duration::from_millis(20));
        }
        process.still_runs()?;
        Ok(process)
    }

    /// User and system time of the whole process tree so far. nginx works in a child of the process that was started.
    pub(crate) fn cpu(&self) -> Duration {
        let ticks: u64 = tree(self.child.id())
            .into_iter()
            .filter_map(stat)
            .map(|stat| stat.ticks)
            .sum();
        Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND)
    }

    /// Resident memory of the whole process tree, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let resident = |pid| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        tree(self.child.id()).into_iter().filter_map(resident).sum()
    }

    fn still_runs(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended at once: {status}", self.name)),
            Err(error) => Err(format!("{}: {error}", self.name)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let family = tree(self.child.id());
        // Asked first: nginx ends its worker when it is asked, but leaves it behind when it is killed.
        signal("TERM", &[self.child.id()]);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if begun.elapsed() > STOP_TIMEOUT {
                signal("KILL", &family);
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.wait();
    }
}

/// A command on one core that the kernel ends when the bench is gone, however that came about.
pub(crate) fn pinned(core: usize, command: &[String]) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args([
        "--cpu-list",
        &core.to_string(),
        "setpriv",
        "--pdeathsig",
        "TERM",
        "--",
    ]);
    pinned.args(command);
    pinned
}

/// Fails with the package to install when a tool is missing.
pub(crate) fn require_tools(options: &Options) -> Result<(), Failure> {
    let load = if options.http2 {
        ("h2load", "nghttp2-client")
    } else {
        ("wrk", "wrk")
    };
    let needed = [
        ("taskset", "util-linux"),
        ("setpriv", "util-linux"),
        ("prlimit", "util-linux"),
        load,
    ];
    for (tool, package) in needed {
        if find(tool).is_none() {
            return Err(Failure::Unable(format!(
                "{tool} is not installed: apt-get install {package} (benches/install.sh installs everything)"
            )));
        }
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores <= LOAD_CORE {
        return Err(Failure::Unable(
            "one core is not enough: the proxy needs one, load and backend another".to_owned(),
        ));
    }
    Ok(())
}

/// The program of this name, also from where administrators' programs are that people's `PATH` leaves out.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// Lets this process, and so its children, open as many files at once.
pub(crate) fn raise_file_limit(files: usize) -> Result<(), Failure> {
    let limits = fs::read_to_string("/proc/self/limits").map_err(|error| error.to_string())?;
    let now = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    if now.is_none_or(|now| now >= files) {
        return Ok(());
    }
    let raised = Command::new("prlimit")
        .arg(format!("--pid={}", std::process::id()))
        .arg(format!("--nofile={files}:"))
        .status();
    match raised {
        Ok(status) if status.success() => Ok(()),
        _ => Err(Failure::Unable(format!(
            "needs {files} open files at once: raise the limit with ulimit -Hn {files}"
        ))),
    }
}

/// Sends a signal through the shell's own `kill`, which is there even where no package brings the program.
fn signal(name: &str, pids: &[u32]) {
    let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
    let _ = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", pids.join(" "))])
        .stderr(Stdio::null())
        .status();
}

struct Stat {
    pid: u32,
    parent: u32,
    ticks: u64,
}

/// One process as `/proc/PID/stat` has it, all its threads added up.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so the fields are counted from its end: state is the first.
    let fields: Vec<&str> = text
        .get(text.rfind(')')? + 1..)?
        .split_whitespace()
        .collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        parent: u32::try_from(number(1)?).ok()?,
        ticks: number(11)? + number(12)?,
    })
}

/// `root` and every process below it.
fn tree(root: u32) -> Vec<u32> {
    let all: Vec<Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| stat(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(
            all.iter()
                .filter(|stat| stat.parent == parent)
                .map(|stat| stat.pid),
        );
        next += 1;
    }
    family
}
