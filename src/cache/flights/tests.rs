use http::{HeaderMap, StatusCode};
use tokio::sync::watch;

use super::*;
use crate::{
    body::Body,
    cache::{filling::Budget, stored::StoredHead},
};

fn answered(status: u16) -> Answered {
    Answered {
        head: Arc::new(StoredHead {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            ..StoredHead::of_tests()
        }),
        body: Flow::Filling(Filling::new(Body::from("x"), Budget::new(1 << 20), 1 << 20)),
    }
}

fn lead(begun: Begun) -> Lead {
    match begun {
        Begun::Lead(lead) => lead,
        Begun::Follow(_) => panic!("it follows"),
    }
}

fn follow(begun: Begun) -> watch::Receiver<Stage> {
    match begun {
        Begun::Follow(stage) => stage,
        Begun::Lead(_) => panic!("it leads"),
    }
}

#[tokio::test]
async fn the_first_leads_and_the_others_have_its_answer() {
    let flights = Flights::new();
    let first = lead(flights.begin(b"a", 0, |_| false));
    let mut second = follow(flights.begin(b"a", 0, |_| true));
    let other = lead(flights.begin(b"b", 0, |_| true));
    let variant = lead(flights.begin(b"a", 7, |_| true));
    assert_eq!(flights.len(), 3);
    drop(variant);
    first.answered(answered(200));
    let stage = second
        .wait_for(|stage| !matches!(stage, Stage::Asked))
        .await;
    assert!(matches!(&*stage.unwrap(), Stage::Answered(_)));
    // Whoever comes later has it too, if it fits, whatever was known of Vary.
    follow(flights.begin(b"a", 7, |head| head.status == 200));
    lead(flights.begin(b"a", 0, |head| head.status != 200));
    drop((first, other));
    assert_eq!(flights.len(), 0);
    lead(flights.begin(b"a", 0, |_| true));
}

#[tokio::test]
async fn who_waits_is_told_when_it_is_in_vain() {
    let flights = Flights::new();
    for (drops, expected) in [(false, "released"), (true, "failed")] {
        let first = lead(flights.begin(b"a", 0, |_| false));
        let mut second = follow(flights.begin(b"a", 0, |_| false));
        let _first = match drops {
            true => {
                drop(first);
                None
            }
            false => {
                first.release();
                Some(first)
            }
        };
        let stage = second
            .wait_for(|stage| !matches!(stage, Stage::Asked))
            .await;
        let told = match &*stage.unwrap() {
            Stage::Released => "released",
            Stage::Failed => "failed",
            _ => "else",
        };
        assert_eq!(told, expected);
        lead(flights.begin(b"a", 0, |_| true));
    }
}

#[test]
fn what_is_older_than_a_purge_is_known() {
    let flights = Flights::new();
    let unknown = lead(flights.begin(b"a", 0, |_| false));
    let known = lead(flights.begin(b"b", 0, |_| false));
    known.answered(answered(200));
    flights.doom(|key, head| key == b"c" || head.is_some_and(|head| head.status == 404));
    assert!(!unknown.is_doomed() && !known.is_doomed());
    flights.doom(|_, head| head.is_none());
    assert!(unknown.is_doomed() && !known.is_doomed());
    // Nobody else may have what is older.
    lead(flights.begin(b"a", 0, |_| true));
    flights.doom_key(b"b");
    assert!(known.is_doomed());
}
