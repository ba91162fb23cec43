//! A Redis of one's own.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A `redis-server` process with a folder of its own; it ends with this value.
pub struct Server {
    pub port: u16,
    folder: PathBuf,
    settings: Vec<String>,
    process: Option<Child>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(|_| Vec::new())
    }

    /// With more settings, which may name the folder.
    pub fn with(settings: impl FnOnce(&PathBuf) -> Vec<String>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(format!("tower-gateway-redis-{process}-{count}"));
        std::fs::create_dir_all(&folder).unwrap();
        let settings = settings(&folder);
        // Somebody else may take a port that is free now.
        for _ in 0..10 {
            let port = free_port();
            if let Some(process) = run(port, &folder, &settings) {
                return Self {
                    port,
                    folder,
                    settings,
                    process: Some(process),
                };
            }
        }
        panic!("redis-server does not start");
    }

    /// Over TLS alone, with this certificate and key (PEM).
    pub fn over_tls(certificate: &str, key: &str) -> Self {
        Self::with(|folder| {
            let write = |name: &str, text: &str| {
                let path = folder.join(name);
                std::fs::write(&path, text).unwrap();
                path.display().to_string()
            };
            let (chain, key) = (write("chain.pem", certificate), write("key.pem", key));
            [
                "--port",
                "0",
                "--tls-port",
                "{port}",
                "--tls-auth-clients",
                "no",
                "--tls-cert-file",
                &chain,
                "--tls-key-file",
                &key,
                "--tls-ca-cert-file",
                &chain,
            ]
            .map(ToOwned::to_owned)
            .to_vec()
        })
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// What was set beside the defaults.
    pub fn setting(&self, name: &str) -> &str {
        let place = self.settings.iter().position(|setting| setting == name);
        &self.settings[place.unwrap() + 1]
    }

    pub fn folder(&self) -> &PathBuf {
        &self.folder
    }

    /// Ends the process as a crash does; what was in it is lost.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// Starts another one at the same address.
    pub fn start_again(&mut self) {
        self.stop();
        let started = run(self.port, &self.folder, &self.settings);
        assert!(started.is_some(), "the port was taken");
        self.process = started;
    }

    /// What it answers to a line: a number, a simple or a long string.
    pub async fn say(&self, line: &str) -> String {
        self.say_after("PING", line).await
    }

    /// The same, after a line that is answered simply.
    pub async fn say_after(&self, first: &str, line: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let lines = format!("{first}\r\n{line}\r\n");
        stream.write_all(lines.as_bytes()).await.unwrap();
        let mut stream = tokio::io::BufReader::new(stream);
        let mut answer = String::new();
        stream.read_line(&mut answer).await.unwrap();
        answer.clear();
        stream.read_line(&mut answer).await.unwrap();
        let length = answer.strip_prefix('$').map(|length| length.trim_end());
        if let Some(length) = length {
            let mut text = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut text).await.unwrap();
            return String::from_utf8(text).unwrap();
        }
        answer.trim_end().to_owned()
    }

    pub async fn number(&self, line: &str) -> i64 {
        let answer = self.say(line).await;
        let number = answer
            .strip_prefix(':')
            .and_then(|number| number.parse().ok());
        number.unwrap_or_else(|| panic!("{line}: {answer}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Waits until it serves; none if it ended before.
fn run(port: u16, folder: &PathBuf, settings: &[String]) -> Option<Child> {
    let port = port.to_string();
    let is_own = |name: &str| settings.iter().any(|setting| setting == name);
    let mut command = Command::new("redis-server");
    if !is_own("--port") {
        command.args(["--port", &port]);
    }
    let mut process = command
        .args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
        ])
        .args(
            settings
                .iter()
                .map(|setting| setting.replace("{port}", &port)),
        )
        .arg("--dir")
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server is installed: apt-get install redis-server");
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let serves = lines.any(|line| line.unwrap().contains("Ready to accept connections"));
    if serves {
        // What it says later has somewhere to go.
        std::thread::spawn(move || lines.for_each(drop));
        Some(process)
    } else {
        process.wait().unwrap();
        None
    }
}

pub fn free_port() -> u16 {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until something is so.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "{what}");
}
