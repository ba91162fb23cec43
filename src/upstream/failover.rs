//! Another endpoint for a request that could not reach the one that was chosen.

use std::{pin::Pin, sync::Arc};

use http::{HeaderValue, header};

use super::{
    HostHeader,
    endpoint::LiveEndpoint,
    endpoints::Wish,
    proxy::Inner,
    score::{Score, Terms},
};
use crate::{
    client::{Answer, Limits, Outgoing, Unanswered},
    context::{Record, Tried},
    error::{Error, ErrorKind},
};

/// A request on its way to other endpoints. Boxed, for it is rare.
pub(super) type Detour = Pin<Box<dyn Future<Output = Result<Detoured, Error>> + Send>>;

/// An answer, and whose it is.
pub(super) struct Detoured {
    pub(super) answer: Answer,
    pub(super) endpoint: Arc<LiveEndpoint>,
    pub(super) score: Option<Score>,
}

/// What it takes to send a request elsewhere.
pub(super) struct Spare {
    pub(super) backend: Arc<Inner>,
    pub(super) record: Option<Arc<Record>>,
    /// Where earlier tries of the request have been.
    pub(super) tried: Option<Arc<Tried>>,
    pub(super) terms: Terms,
    /// What of the request decides where it goes.
    pub(super) key: Option<u64>,
    /// The endpoint that was chosen first.
    pub(super) chosen: Arc<LiveEndpoint>,
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
    ) -> Result<Detoured, Error> {
        let Inner {
            endpoints,
            settings,
            ..
        } = &*self.backend;
        let mut last = self.chosen;
        let mut tried = vec![last.id];
        loop {
            // First those that no earlier try has been to.
            let mut known = self.tried.as_ref().map(|all| all.all()).unwrap_or_default();
            known.extend_from_slice(&tried);
            let another = [&known[..], &tried].into_iter().find_map(|tried_before| {
                let wish = Wish {
                    key: self.key,
                    tried: tried_before,
                    ..Wish::default()
                };
                let taken = endpoints.take(&wish).ok()?;
                (!tried.contains(&taken.endpoint.id)).then_some(taken)
            });
            let Some(taken) = another else {
                return Err(error);
            };
            let (next, in_flight) = (taken.endpoint, taken.in_flight);
            if let Some(all) = &self.tried {
                all.add(next.id);
            }
            let (mut outgoing, limits) = *unsent;
            redirect(&mut outgoing, &settings.host, &last, &next)?;
            if let Some(record) = &self.record {
                let mut notes = record.lock();
                notes.endpoint = Some(next.label.clone());
                notes.tries += 1;
            }
            let in_flight = match self.switches {
                true => in_flight.for_upgrades(),
                false => in_flight,
            };
            let score = Score::begin(endpoints, &next, &self.terms);
            let failed = match in_flight.send(outgoing, limits).await {
                Ok(answer) => {
                    return Ok(Detoured {
                        answer,
                        endpoint: next,
                        score,
                    });
                }
                Err(failed) => failed,
            };
            if let Some(score) = score {
                score.fail(&failed.error);
            }
            (error, unsent) = match failed {
                Unanswered {
                    error,
                    unsent: Some(unsent),
                } => (error, unsent),
                Unanswered { error, .. } => return Err(error),
            };
            tried.push(next.id);
            last = next;
        }
    }
}

/// Makes a request for one endpoint a request for another.
fn redirect(
    outgoing: &mut Outgoing,
    host: &HostHeader,
    from: &LiveEndpoint,
    to: &LiveEndpoint,
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
