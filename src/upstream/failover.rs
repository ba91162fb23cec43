//! Another endpoint for a request that could not reach the one that was chosen.

use std::{pin::Pin, sync::Arc};

use http::{HeaderValue, header};

use super::{Endpoint, HostHeader, endpoint::pick_other, proxy::Inner};
use crate::{
    client::{Answer, Limits, Outgoing, Unanswered},
    context::{Record, Tried},
    error::{Error, ErrorKind},
};

/// A request on its way to other endpoints. Boxed, for it is rare.
pub(super) type Detour = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// What it takes to send a request elsewhere.
pub(super) struct Spare {
    pub(super) backend: Arc<Inner>,
    pub(super) record: Option<Arc<Record>>,
    pub(super) tried: Option<Arc<Tried>>,
    /// The endpoint that was chosen first.
    pub(super) chosen: usize,
    /// The request asks for another protocol.
    pub(super) switches: bool,
}

impl Spare {
    /// Tries the other endpoints, each once, as long as none can be reached; the deadline stays what it was.
    pub(super) fn detour(self, error: Error, unsent: Box<(Outgoing, Limits)>) -> Detour {
        Box::pin(self.send(error, unsent))
    }

    async fn send(
        self,
        mut error: Error,
        mut unsent: Box<(Outgoing, Limits)>,
    ) -> Result<Answer, Error> {
        let Inner {
            endpoints,
            settings,
            ..
        } = &*self.backend;
        let mut last = &endpoints[self.chosen];
        let mut tried = vec![self.chosen];
        let is_known = |at: usize| {
            let all = self.tried.as_deref();
            all.is_some_and(|all| all.has(endpoints[at].id()))
        };
        // First those that no earlier try has been to.
        while let Some(at) = pick_other(endpoints, |at| tried.contains(&at) || is_known(at))
            .or_else(|| pick_other(endpoints, |at| tried.contains(&at)))
        {
            let next = &endpoints[at];
            let (mut outgoing, limits) = *unsent;
            redirect(&mut outgoing, &settings.host, last, next)?;
            if let Some(record) = &self.record {
                let mut notes = record.lock();
                notes.endpoint = Some(next.label.clone());
                notes.tries += 1;
            }
            if let Some(all) = &self.tried {
                all.add(next.id());
            }
            let client = match self.switches {
                true => next.client.for_upgrades(),
                false => &next.client,
            };
            let failed = match client.clone().send(outgoing, limits).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            (error, unsent) = match failed {
                Unanswered {
                    error,
                    unsent: Some(unsent),
                } => (error, unsent),
                Unanswered { error, .. } => return Err(error),
            };
            tried.push(at);
            last = next;
        }
        Err(error)
    }
}

/// Makes a request for one endpoint a request for another.
fn redirect(
    outgoing: &mut Outgoing,
    host: &HostHeader,
    from: &Endpoint,
    to: &Endpoint,
) -> Result<(), Error> {
    if *host == HostHeader::Rewrite {
        let host: HeaderValue = to.host.clone();
        outgoing.headers.insert(header::HOST, host);
    }
    outgoing.path = to
        .address
        .join_instead(&from.address, outgoing.path.clone())
        .map_err(|error| Error::new(ErrorKind::BadRequest).with_source(error))?;
    Ok(())
}
