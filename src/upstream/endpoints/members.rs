//! The endpoints that there are: how they come and go, and which of them may be chosen.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Endpoints, view::View};
use crate::{
    clock,
    upstream::{
        Endpoint, OutlierEjection,
        balance::Picker,
        endpoint::{EndpointStatus, Health, LiveEndpoint},
        outlier::Ejection,
    },
};

/// For what has no end.
const FAR: Duration = Duration::from_secs(86_400 * 365);

/// One that there is, chosen or not.
pub(super) struct Member {
    live: Arc<LiveEndpoint>,
    weight: u32,
    ejection: Ejection,
    is_in: bool,
}

impl Endpoints {
    /// Replaces the endpoints. One that was there before keeps its connections and all that is known of it; one that is not
    /// there any more gets no new requests. With a mistake nothing is changed.
    pub(crate) fn set(&self, wanted: &[Endpoint]) -> Result<(), Vec<String>> {
        let now = clock::now();
        let addresses: Vec<_> = wanted
            .iter()
            .map(|endpoint| (endpoint, endpoint.address()))
            .collect();
        let mut members = self.lock();
        let known: HashMap<&str, &Member> = members
            .iter()
            .map(|member| (&*member.live.label, member))
            .collect();
        let (mut next, mut mistakes) = (Vec::<Member>::new(), Vec::new());
        let (mut seen, mut is_same) = (HashSet::new(), true);
        for (endpoint, address) in addresses {
            let address = match address {
                Ok(address) => address,
                Err(mistake) => {
                    mistakes.push(mistake);
                    continue;
                }
            };
            let label = address.to_string();
            if !seen.insert(label.clone()) {
                mistakes.push(format!(
                    "endpoint `{label}` is there twice; give it a weight"
                ));
                continue;
            }
            let made = match known.get(&*label) {
                Some(member) => Ok(Member {
                    live: member.live.clone(),
                    ..**member
                }),
                None => {
                    is_same = false;
                    let affinity = self.choice.affinity.as_ref();
                    let live = LiveEndpoint::new(&self.factory, affinity, address, now);
                    live.map(|live| Member {
                        live: Arc::new(live),
                        weight: 0,
                        ejection: Ejection::default(),
                        is_in: false,
                    })
                }
            };
            match made {
                Ok(member) => next.push(Member {
                    weight: endpoint.share(),
                    ..member
                }),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        is_same &= next.len() == members.len();
        *members = next;
        self.publish(&mut members, now);
        if !is_same {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// All that there are.
    pub(crate) fn all(&self) -> Vec<Arc<LiveEndpoint>> {
        self.lock()
            .iter()
            .map(|member| member.live.clone())
            .collect()
    }

    /// How they are.
    pub(crate) fn status(&self) -> Vec<EndpointStatus> {
        let now = clock::now();
        let members = self.lock();
        let status = |member: &Member| {
            let live = &member.live;
            EndpointStatus {
                url: live.label.to_string(),
                weight: member.weight,
                in_flight: live.client.in_flight(),
                is_unreached: live.client.is_unreached(),
                is_healthy: match live.health() {
                    Health::Unknown => None,
                    health => Some(health == Health::Healthy),
                },
                is_ejected: member.ejection.end(now).is_some(),
                ejections: member.ejection.total(),
            }
        };
        members.iter().map(status).collect()
    }

    pub(super) fn eject(&self, live: &LiveEndpoint, settings: &OutlierEjection, now: Instant) {
        let mut members = self.lock();
        let has_room = has_room(&members, settings, now);
        let found = members.iter_mut().find(|member| member.live.id == live.id);
        if let Some(member) = found
            && member.ejection.end(now).is_none()
            && has_room
        {
            member.ejection.begin(settings, now);
            live.tally.clear();
            self.publish(&mut members, now);
        }
    }

    /// A probe has found something.
    pub(in crate::upstream) fn set_health(&self, live: &LiveEndpoint, health: Health) {
        if live.set_health(health) {
            self.publish(&mut self.lock(), clock::now());
        }
    }

    /// Makes the snapshot anew.
    pub(super) fn publish(&self, members: &mut [Member], now: Instant) {
        let since = now.saturating_duration_since(self.base);
        // At the beginning all are new, and none has to wait for the others.
        let is_first = members.iter().all(|member| !member.is_in);
        let (mut returns, mut grows) = (None::<Instant>, None::<Instant>);
        for member in members.iter_mut() {
            let end = member.ejection.end(now);
            returns = [returns, end].into_iter().flatten().min();
            let is_in =
                member.weight > 0 && end.is_none() && member.live.health() != Health::Unhealthy;
            if is_in && !member.is_in {
                member.live.tally.clear();
                member.live.join((!is_first).then_some(since));
                if let (Some(ramp), false) = (self.choice.slow_start, is_first) {
                    grows = grows.max(Some(now.checked_add(ramp).unwrap_or(now + FAR)));
                }
            }
            member.is_in = is_in;
        }
        let old = self.view.load();
        let none = !members.iter().any(|member| member.is_in);
        let endpoints: Box<[_]> = members
            .iter()
            .filter(|member| member.is_in || none && self.choice.panic && member.weight > 0)
            .map(|member| (member.live.clone(), member.weight))
            .collect();
        let named = endpoints
            .iter()
            .map(|(live, weight)| (&*live.label, *weight));
        let ejection = self.choice.ejection.as_ref();
        let picker = Picker::new(&self.choice.balance.0, named);
        self.view.store(Arc::new(View {
            picker,
            endpoints,
            returns,
            grows: grows.max(old.grows),
            may_eject: ejection.is_some_and(|settings| has_room(members, settings, now)),
        }));
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Vec<Member>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one more may be ejected. One without weight takes no part of what an ejected one leaves.
fn has_room(members: &[Member], settings: &OutlierEjection, now: Instant) -> bool {
    let weighty = members.iter().filter(|member| member.weight > 0);
    let is_out = |member: &&Member| member.ejection.end(now).is_some();
    settings.most_of(weighty.clone().count()) > weighty.filter(is_out).count()
}
