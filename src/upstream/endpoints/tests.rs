use std::collections::BTreeMap;

use tokio::time::advance;

use super::*;
use crate::{
    client::{ClientConfig, Resolver},
    upstream::{Endpoint, endpoint::Health},
};

fn endpoints(choice: Choice, urls: &[(&str, u32)]) -> Endpoints {
    let factory = Factory {
        config: ClientConfig::default(),
        resolver: Resolver::default(),
        #[cfg(feature = "tls")]
        tls: None,
        needs_tls: false,
    };
    let endpoints = Endpoints::new(factory, choice, None, None);
    endpoints.set(&list(urls)).unwrap();
    endpoints
}

fn list(urls: &[(&str, u32)]) -> Vec<Endpoint> {
    let weighed = |(url, weight): &(&str, u32)| Endpoint::new(*url).weight(*weight);
    urls.iter().map(weighed).collect()
}

/// How often each endpoint is picked.
fn picks(endpoints: &Endpoints, count: usize) -> BTreeMap<String, usize> {
    let mut picks = BTreeMap::new();
    for _ in 0..count {
        if let Some((live, _)) = endpoints.pick(&Wish::default()) {
            *picks.entry(live.label.to_string()).or_insert(0) += 1;
        }
    }
    picks
}

fn names(endpoints: &Endpoints) -> Vec<String> {
    picks(endpoints, 300).into_keys().collect()
}

fn find(endpoints: &Endpoints, url: &str) -> Arc<LiveEndpoint> {
    let all = endpoints.all();
    all.into_iter().find(|live| &*live.label == url).unwrap()
}

fn fail(endpoints: &Endpoints, url: &str, times: usize) {
    let live = find(endpoints, url);
    for _ in 0..times {
        endpoints.enter(&live, Outcome::Bad);
    }
}

const THREE: [(&str, u32); 3] = [("http://a", 1), ("http://b", 1), ("http://c", 1)];

fn round_robin() -> Choice {
    Choice {
        balance: Balance::round_robin(),
        ..Choice::default()
    }
}

fn ejecting(ejection: OutlierEjection) -> Choice {
    Choice {
        ejection: Some(ejection),
        ..round_robin()
    }
}

#[tokio::test(start_paused = true)]
async fn endpoints_come_and_go_and_those_that_stay_are_the_same() {
    let all = endpoints(round_robin(), &THREE);
    let (a, b) = (find(&all, "http://a"), find(&all, "http://b"));
    all.set(&list(&[("http://d", 1), ("http://b/", 2)]))
        .unwrap();
    assert_eq!(find(&all, "http://b").id, b.id);
    assert_eq!(
        picks(&all, 300),
        BTreeMap::from([("http://b".to_owned(), 200), ("http://d".to_owned(), 100)])
    );
    all.set(&list(&THREE)).unwrap();
    assert_ne!(find(&all, "http://a").id, a.id, "it was gone");

    let wrong = [
        ("http://e", 1),
        ("ftp://f", 1),
        ("http://e/", 1),
        ("http://[g", 1),
    ];
    let mistakes = all.set(&list(&wrong)).unwrap_err();
    assert_eq!(mistakes.len(), 3, "{mistakes:?}");
    assert!(
        mistakes[1].contains("`http://e` is there twice"),
        "{mistakes:?}"
    );
    assert_eq!(
        names(&all),
        ["http://a", "http://b", "http://c"],
        "nothing has changed"
    );

    all.set(&list(&[("http://a", 0), ("http://b", 1)])).unwrap();
    assert_eq!(names(&all), ["http://b"], "without weight it gets nothing");
    all.set(&[]).unwrap();
    assert!(all.pick(&Wish::default()).is_none());
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_is_ejected_and_comes_back() {
    let all = endpoints(ejecting(OutlierEjection::new()), &THREE);
    fail(&all, "http://a", 4);
    assert_eq!(names(&all).len(), 3);
    fail(&all, "http://a", 1);
    assert_eq!(names(&all), ["http://b", "http://c"]);
    fail(&all, "http://b", 50);
    assert_eq!(
        names(&all),
        ["http://b", "http://c"],
        "no more than its share"
    );
    advance(Duration::from_secs(29)).await;
    assert_eq!(names(&all), ["http://b", "http://c"]);
    advance(Duration::from_secs(1)).await;
    assert_eq!(names(&all).len(), 3, "the time is over");
    fail(&all, "http://a", 5);
    advance(Duration::from_secs(59)).await;
    assert_eq!(names(&all), ["http://b", "http://c"], "for twice as long");
    advance(Duration::from_secs(1)).await;
    assert_eq!(names(&all).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_one_stays_when_others_change() {
    let all = endpoints(ejecting(OutlierEjection::new()), &THREE);
    fail(&all, "http://a", 5);
    all.set(&list(&[("http://a", 1), ("http://d", 1)])).unwrap();
    assert_eq!(names(&all), ["http://d"], "still ejected");
}

#[tokio::test(start_paused = true)]
async fn when_none_is_left_all_are_used_or_none() {
    for panic in [true, false] {
        let choice = Choice {
            panic,
            ..ejecting(OutlierEjection::new().max_ejected(1.0))
        };
        let all = endpoints(choice, &THREE);
        fail(&all, "http://a", 5);
        fail(&all, "http://b", 5);
        assert_eq!(names(&all), ["http://c"]);
        all.set_health(&find(&all, "http://c"), Health::Unhealthy);
        assert_eq!(names(&all).len(), if panic { 3 } else { 0 });
        all.set_health(&find(&all, "http://c"), Health::Healthy);
        assert_eq!(names(&all), ["http://c"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_endpoint_is_never_ejected() {
    let all = endpoints(
        ejecting(OutlierEjection::new().max_ejected(1.0)),
        &THREE[..1],
    );
    fail(&all, "http://a", 100);
    assert!(all.pick(&Wish::default()).is_some());
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_grows_into_its_share() {
    let ramp = Duration::from_secs(100);
    let choice = Choice {
        slow_start: Some(ramp),
        ..round_robin()
    };
    let all = endpoints(choice, &THREE[..2]);
    let share = |all: &Endpoints| picks(all, 4000)["http://a"] as f64 / 2000.0;
    assert_eq!(
        share(&all),
        1.0,
        "at the beginning nobody waits for the others"
    );
    let a = find(&all, "http://a");
    all.set_health(&a, Health::Unhealthy);
    assert_eq!(names(&all), ["http://b"]);
    all.set_health(&a, Health::Healthy);
    for (seconds, expected) in [(0, 0.1), (50, 0.5), (49, 0.99), (1, 1.0)] {
        advance(Duration::from_secs(seconds)).await;
        let share = share(&all);
        assert!((share - expected).abs() < 0.08, "{seconds}: {share}");
    }
    all.set(&list(&THREE)).unwrap();
    let new = picks(&all, 3000)["http://c"];
    assert!((50..200).contains(&new), "so does a new one: {new}");
}

#[tokio::test(start_paused = true)]
async fn the_latency_decides_for_peak_ewma() {
    let choice = Choice {
        balance: Balance::peak_ewma().decay(Duration::from_secs(1)),
        ..Choice::default()
    };
    let all = endpoints(choice, &THREE[..2]);
    let (a, b) = (find(&all, "http://a"), find(&all, "http://b"));
    assert!(all.keeps_score());
    all.enter_head(&a, Some(Duration::from_millis(50)));
    all.enter_head(&b, Some(Duration::from_millis(10)));
    assert_eq!(names(&all), ["http://b"]);
    all.enter_head(&b, None);
    assert_eq!(names(&all), ["http://a"], "to fail counts as a second");
    advance(Duration::from_secs(20)).await;
    all.enter_head(&a, Some(Duration::from_millis(10)));
    assert_eq!(names(&all), ["http://b"], "and is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_request_does_not_meet_the_same_one_again() {
    let all = endpoints(round_robin(), &THREE);
    let (first, has_others) = all.pick(&Wish::default()).unwrap();
    assert!(has_others);
    let pick = |tried: &[u64]| {
        let wish = Wish {
            tried,
            ..Wish::default()
        };
        all.pick(&wish).unwrap().0
    };
    for _ in 0..20 {
        let second = pick(&[first.id]);
        assert_ne!(second.id, first.id);
        let third = pick(&[first.id, second.id]);
        assert!(![first.id, second.id].contains(&third.id));
        let again = pick(&[first.id, second.id, third.id]);
        assert!(
            [first.id, second.id, third.id].contains(&again.id),
            "there is no other"
        );
    }
}

/// Picks go on while everything changes, and see only what there was at some time.
#[tokio::test]
async fn changes_and_picks_go_together() {
    let all = Arc::new(endpoints(ejecting(OutlierEjection::new()), &THREE));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    let (live, _) = all.pick(&Wish::default()).unwrap();
                    all.enter(&live, Outcome::Bad);
                }
            });
        }
        scope.spawn(|| {
            for round in 0..200 {
                let size = 2 + round % 2;
                all.set(&list(&THREE[..size])).unwrap();
                let a = find(&all, "http://a");
                let health = [Health::Unhealthy, Health::Healthy][round % 2];
                all.set_health(&a, health);
            }
        });
    });
    all.set(&list(&THREE)).unwrap();
    assert!(names(&all).len() >= 2, "{:?}", names(&all));
}

#[tokio::test(start_paused = true)]
async fn a_cookie_leads_to_its_endpoint_while_that_can_be_used() {
    let choice = Choice {
        affinity: Some(Affinity::cookie("a", [7; 32])),
        ..round_robin()
    };
    let all = endpoints(choice, &THREE);
    let b = find(&all, "http://b");
    let with = |token: &str, tried: &[u64]| {
        let wish = Wish {
            token: Some(token.as_bytes()),
            tried,
            ..Wish::default()
        };
        all.pick(&wish).unwrap().0.id
    };
    for _ in 0..10 {
        assert_eq!(with(&b.token, &[]), b.id);
        assert_ne!(with(&b.token, &[b.id]), b.id, "it was tried");
    }
    assert!((0..10).any(|_| with("", &[]) != b.id), "none is no token");
    all.set_health(&b, Health::Unhealthy);
    for _ in 0..10 {
        assert_ne!(with(&b.token, &[]), b.id);
    }
}

fn full(endpoints: &Endpoints, url: &str, count: usize) -> Vec<crate::client::InFlight> {
    let client = find(endpoints, url).client.clone();
    (0..count)
        .map_while(|_| client.clone().enter(usize::MAX))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn one_with_room_is_found_and_no_other() {
    for balance in [Balance::power_of_two(), Balance::round_robin()] {
        let choice = Choice {
            balance,
            max_requests: 2,
            affinity: Some(Affinity::cookie("a", [7; 32])),
            ..Choice::default()
        };
        let all = endpoints(choice, &[("http://a", 1), ("http://b", 100)]);
        let (a, b) = (find(&all, "http://a"), find(&all, "http://b"));
        let _full = full(&all, "http://b", 2);
        // Where it has been, and where it belongs.
        let wish = Wish {
            tried: &[a.id],
            token: Some(b.token.as_bytes()),
            ..Wish::default()
        };
        let taken: Vec<_> = (0..2).map(|_| all.take(&wish).unwrap()).collect();
        assert!(taken.iter().all(|taken| taken.endpoint.id == a.id));
        let refused = all.take(&wish).err().unwrap();
        assert_eq!(refused.kind(), ErrorKind::Saturated);
        drop(taken);
        assert_eq!(a.client.in_flight(), 0);
    }
}

/// Shedding has to be cheap, most of all when everything is full.
#[tokio::test(start_paused = true)]
async fn each_full_endpoint_is_asked_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let balance = Balance::custom(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        0
    });
    let choice = Choice {
        balance,
        max_requests: 1,
        ..Choice::default()
    };
    let urls: Vec<_> = (1..=50).map(|port| format!("http://a:{port}")).collect();
    let urls: Vec<_> = urls.iter().map(|url| (&**url, 1)).collect();
    let all = endpoints(choice, &urls);
    let held: Vec<_> = urls.iter().map(|(url, _)| full(&all, url, 1)).collect();
    assert!(all.take(&Wish::default()).is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn the_only_one_with_a_weight_is_never_ejected() {
    let choice = Choice {
        panic: false,
        ..ejecting(OutlierEjection::new())
    };
    let all = endpoints(choice, &[("http://a", 1), ("http://b", 0), ("http://c", 0)]);
    fail(&all, "http://a", 100);
    assert_eq!(names(&all), ["http://a"]);
}

#[tokio::test(start_paused = true)]
async fn a_ramp_without_end_is_one() {
    let choice = Choice {
        slow_start: Some(Duration::MAX),
        ..round_robin()
    };
    let all = endpoints(choice, &THREE[..2]);
    all.set(&list(&THREE)).unwrap();
    let new = picks(&all, 3000)["http://c"];
    assert!((50..200).contains(&new), "{new}");
}

/// When everything fails, who may not eject any more does not wait for those who could.
#[tokio::test(start_paused = true)]
async fn a_failure_that_can_eject_nobody_takes_no_lock() {
    let all = Arc::new(endpoints(ejecting(OutlierEjection::new()), &THREE));
    fail(&all, "http://a", 5);
    let b = find(&all, "http://b");
    let locked = all.members.lock().unwrap();
    let (told, done) = std::sync::mpsc::channel();
    let other = all.clone();
    let _worker = std::thread::spawn(move || {
        (0..9).for_each(|_| other.enter(&b, Outcome::Bad));
        let _ = told.send(());
    });
    let in_time = done.recv_timeout(Duration::from_secs(5));
    drop(locked);
    assert!(in_time.is_ok());
    advance(Duration::from_secs(30)).await;
    fail(&all, "http://b", 1);
    assert_eq!(names(&all), ["http://a", "http://c"], "its turn");
}

#[tokio::test(start_paused = true)]
async fn of_many_endpoints_each_is_known_again() {
    let urls: Vec<String> = (0..5_000).map(|at| format!("http://host-{at}")).collect();
    let mut wanted: Vec<Endpoint> = urls.iter().map(Endpoint::from).collect();
    let all = endpoints(Choice::default(), &THREE);
    let ids = |all: &Endpoints| all.all().iter().map(|live| live.id).collect::<Vec<_>>();
    all.set(&wanted).unwrap();
    let mut before = ids(&all);
    wanted.reverse();
    all.set(&wanted).unwrap();
    before.reverse();
    assert_eq!(ids(&all), before);
    wanted.push(wanted[7].clone());
    assert_eq!(all.set(&wanted).unwrap_err().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_comes_back_in_its_own_time() {
    let all = endpoints(ejecting(OutlierEjection::new().max_ejected(1.0)), &THREE);
    fail(&all, "http://a", 5);
    advance(Duration::from_secs(10)).await;
    fail(&all, "http://b", 5);
    assert_eq!(names(&all), ["http://c"]);
    advance(Duration::from_secs(20)).await;
    assert_eq!(names(&all), ["http://a", "http://c"]);
    advance(Duration::from_secs(10)).await;
    assert_eq!(names(&all).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_back_begins_anew() {
    let all = endpoints(ejecting(OutlierEjection::new()), &THREE);
    fail(&all, "http://a", 4);
    let a = find(&all, "http://a");
    all.set_health(&a, Health::Unhealthy);
    all.set_health(&a, Health::Healthy);
    fail(&all, "http://a", 4);
    assert_eq!(names(&all).len(), 3, "what was before is forgotten");
    fail(&all, "http://a", 1);
    assert_eq!(names(&all).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_ramp_goes_on_whatever_else_changes() {
    let choice = Choice {
        slow_start: Some(Duration::from_secs(100)),
        ..round_robin()
    };
    let all = endpoints(choice, &THREE[..2]);
    all.set(&list(&THREE)).unwrap();
    all.set_health(&find(&all, "http://a"), Health::Healthy);
    let new = picks(&all, 3000)["http://c"];
    assert!((50..200).contains(&new), "{new}");
}
