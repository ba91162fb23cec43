//! Requests to try: each stands once, and is both printed as a `curl` line and sent by `--check`.

use std::{borrow::Cow, fmt::Write, net::SocketAddr};

use tower_gateway::BoxError;

use super::{Checks, send_body};

/// One request, and what should come of it.
pub struct Try {
    method: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    body: &'static str,
    status: u16,
    text: &'static str,
    told: Option<(&'static str, &'static str)>,
    why: &'static str,
}

impl Try {
    pub fn new(method: &'static str, path: &'static str) -> Self {
        Self {
            method,
            path,
            headers: Vec::new(),
            body: "",
            status: 200,
            text: "",
            told: None,
            why: "",
        }
    }

    pub fn get(path: &'static str) -> Self {
        Self::new("GET", path)
    }

    /// A `POST` of a form, as `curl -d` sends it.
    pub fn post(path: &'static str, body: &'static str) -> Self {
        let form = ("Content-Type", "application/x-www-form-urlencoded".into());
        Self {
            body,
            headers: vec![form],
            ..Self::new("POST", path)
        }
    }

    pub fn header(mut self, (name, value): (&'static str, impl Into<Cow<'static, str>>)) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The status that should come, and a text that should stand somewhere in the body.
    pub fn gives(self, status: u16, text: &'static str) -> Self {
        Self {
            status,
            text,
            ..self
        }
    }

    /// A header that the answer should have, and a text that should stand somewhere in it.
    pub fn tells(self, name: &'static str, text: &'static str) -> Self {
        let told = Some((name, text));
        Self { told, ..self }
    }

    /// What it is to show, for people.
    pub fn because(self, why: &'static str) -> Self {
        Self { why, ..self }
    }

    /// The command that sends this request, and what comes of it.
    pub fn shown(&self, addr: SocketAddr) -> String {
        match self.why {
            "" => self.curl(addr),
            why => format!("# {why}: {}\n{}", self.status, self.curl(addr)),
        }
    }

    /// The command that sends this request.
    pub fn curl(&self, addr: SocketAddr) -> String {
        let mut line = String::from("curl -i");
        let is_form = self.method == "POST" && !self.body.is_empty();
        if !is_form && self.method != "GET" {
            let _ = write!(line, " -X {}", self.method);
        }
        // What `-d` adds by itself need not be said.
        for (name, value) in &self.headers[usize::from(is_form)..] {
            let _ = write!(line, " -H '{name}: {value}'");
        }
        if !self.body.is_empty() {
            let _ = write!(line, " -d '{}'", self.body);
        }
        if self.path.contains("/.") {
            line.push_str(" --path-as-is");
        }
        let quote = if self.path.contains(['?', '&', ' ']) {
            "'"
        } else {
            ""
        };
        let _ = write!(line, " {quote}http://{addr}{}{quote}", self.path);
        line
    }
}

impl Checks {
    /// Sends these requests, one after the other.
    pub async fn send(&mut self, addr: SocketAddr, tries: &[Try]) -> Result<(), BoxError> {
        for one in tries {
            let headers = one.headers.iter().map(|(name, value)| (*name, &**value));
            let headers: Vec<_> = headers.collect();
            let (status, told, body) =
                send_body(addr, one.method, one.path, &headers, one.body).await?;
            let mut came = format!("{status} {}", body.trim_end());
            let mut is_told = true;
            if let Some((name, text)) = one.told {
                let value = told.get(name).and_then(|value| value.to_str().ok());
                let value = value.unwrap_or_default();
                let _ = write!(came, "\n       {name}: {value}");
                is_told = value.contains(text);
            }
            self.expect(
                &one.shown(addr),
                status == one.status && body.contains(one.text) && is_told,
                came,
            );
        }
        Ok(())
    }
}
