//! Somebody who is asked about requests, and how many times at once.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use tokio::sync::Semaphore;

use super::fetch::{CallSettings, Caller, shown};
use crate::error::BoxError;

/// The settings that all layers have that ask somebody. Their method `ask` changes the [`Asked`].
macro_rules! asked_settings {
    () => {
        /// How long an answer may take in all; then it is 503. More than zero, at most a minute. Default: 2 s.
        pub fn timeout(self, time: std::time::Duration) -> Self {
            self.ask(|asked| asked.edit(|call| call.timeout = time))
        }

        /// How many requests are asked about at once, at least 1; others wait, within the same [`timeout`](Self::timeout). Default: 64.
        pub fn max_concurrent(self, max: usize) -> Self {
            self.ask(|asked| asked.limit(max))
        }

        /// Allows a URL that begins with `http://`, over which anybody on the way reads credentials, and lets in whom they want. Default:
        /// `https` alone.
        pub fn allow_http(self) -> Self {
            self.ask(|asked| asked.edit(|call| call.allow_http = true))
        }

        /// Trusts only these authorities (PEM, one or more), instead of what the operating system trusts.
        #[cfg(feature = "tls")]
        pub fn tls_authority(self, pem: impl Into<Vec<u8>>) -> Self {
            let roots = crate::tls::Roots::Own(pem.into());
            self.ask(|asked| asked.edit(|call| call.tls.roots = roots))
        }

        /// Trusts the web's roots that are compiled in, instead of what the operating system trusts.
        #[cfg(feature = "webpki-roots")]
        pub fn tls_web_roots(self) -> Self {
            self.ask(|asked| asked.edit(|call| call.tls.roots = crate::tls::Roots::Web))
        }
    };
}
pub(super) use asked_settings;

/// Clones share the connections and the bound, until a setting is changed.
#[derive(Clone)]
pub(super) struct Asked {
    url: Arc<str>,
    settings: CallSettings,
    max_concurrent: usize,
    live: Arc<Live>,
}

struct Live {
    permits: Semaphore,
    /// Made when it is needed first: roots are read from files.
    caller: OnceLock<Result<Caller, String>>,
}

impl Asked {
    pub(super) fn at(url: String, max_bytes: usize) -> Self {
        let settings = CallSettings {
            timeout: Duration::from_secs(2),
            max_bytes,
            ..CallSettings::default()
        };
        Self {
            url: url.into(),
            settings,
            max_concurrent: 64,
            live: Live::new(64),
        }
    }

    pub(super) fn edit(&mut self, change: impl FnOnce(&mut CallSettings)) {
        change(&mut self.settings);
        self.live = Live::new(self.max_concurrent);
    }

    pub(super) fn limit(&mut self, max: usize) {
        self.max_concurrent = max;
        self.live = Live::new(max);
    }

    /// Asks, and waits for the whole answer.
    ///
    /// # Errors
    /// There is none in time, or it is too large. For logs.
    pub(super) async fn send(
        &self,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Bytes>, BoxError> {
        let asking = async {
            let _permit = self.live.permits.acquire().await?;
            let caller = self.caller().as_ref().map_err(String::as_str)?;
            Ok(caller.send(method, headers, body).await?)
        };
        tokio::time::timeout(self.settings.timeout, asking).await?
    }

    pub(super) fn mistakes(&self) -> Vec<String> {
        let mut mistakes: Vec<_> = self.caller().as_ref().err().cloned().into_iter().collect();
        let time = self.settings.timeout;
        if time.is_zero() || time > Duration::from_secs(60) {
            mistakes.push(format!(
                "timeout is {time:?}; it is above 0 and at most a minute"
            ));
        }
        if !(1..=Semaphore::MAX_PERMITS).contains(&self.max_concurrent) {
            mistakes.push("max_concurrent is 0 or huge; it is at least 1".to_owned());
        }
        if self.settings.max_bytes == 0 {
            mistakes.push("max_answer_length is 0; it is at least 1 byte".to_owned());
        }
        mistakes
    }

    fn caller(&self) -> &Result<Caller, String> {
        let make = || Caller::new(&self.url, &self.settings);
        self.live.caller.get_or_init(make)
    }
}

impl Live {
    fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(max.min(Semaphore::MAX_PERMITS)),
            caller: OnceLock::new(),
        })
    }
}

/// Without what may be in its query.
impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", shown(&self.url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn to_wait_for_a_turn_takes_of_the_same_time() {
        let mut asked = Asked::at("https://id.example/".to_owned(), 1_000);
        asked.limit(1);
        let _other = asked.live.permits.acquire().await.unwrap();
        let start = tokio::time::Instant::now();
        let answer = asked
            .send(Method::GET, HeaderMap::new(), Bytes::new())
            .await;
        assert!(answer.is_err());
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
