use std::{str::FromStr, sync::Arc};

use hickory_resolver::proto::{
    op::{Message, ResponseCode},
    rr::{Name, Record, rdata::SRV},
};
use tokio::net::UdpSocket;

use super::*;

const HOUR: u32 = 3600;

/// A server that knows these records, with their time to live.
async fn server(records: Vec<(&'static str, u32, RData)>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let records = Arc::new(records);
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            let asked = Message::from_vec(&buffer[..length]).unwrap();
            let query = asked.queries[0].clone();
            let mut answer = Message::response(asked.id, asked.op_code);
            answer.add_query(query.clone());
            let mut is_known = false;
            for (name, ttl, data) in records.iter() {
                let name = Name::from_str(name).unwrap();
                is_known |= name == *query.name();
                if name == *query.name() && data.record_type() == query.query_type() {
                    answer.add_answer(Record::from_rdata(name, *ttl, data.clone()));
                }
            }
            if !is_known {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            let _ = socket.send_to(&answer.to_vec().unwrap(), peer).await;
        }
    });
    address
}

fn ip(text: &str) -> RData {
    RData::from(text.parse::<IpAddr>().unwrap())
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(
        priority,
        weight,
        port,
        Name::from_str(target).unwrap(),
    ))
}

/// What was found, in order, with its weights, and for how many seconds.
async fn found(dns: Dns) -> Result<(Vec<(String, u32)>, u64), String> {
    let found = dns.discover().await.map_err(|error| error.to_string())?;
    let mut endpoints: Vec<_> = found
        .endpoints()
        .iter()
        .map(|endpoint| (endpoint.address().unwrap().to_string(), endpoint.share()))
        .collect();
    endpoints.sort();
    Ok((endpoints, found.time().as_secs_f64().ceil() as u64))
}

#[tokio::test]
async fn each_address_of_a_host_is_an_endpoint() {
    let server = server(vec![
        ("users.test.", HOUR, ip("10.0.0.1")),
        ("users.test.", 20, ip("10.0.0.2")),
        ("brief.test.", 0, ip("10.0.0.3")),
        ("six.test.", HOUR, ip("2001:db8::1")),
        ("both.test.", HOUR, ip("10.0.0.4")),
        ("both.test.", HOUR, ip("2001:db8::4")),
    ])
    .await;
    let dns = |url: &str| Dns::hosts(url).server(server);
    let (endpoints, seconds) = found(dns("http://users.test.:8080/v1")).await.unwrap();
    let name = |ip| (format!("http://users.test.:8080/v1 at {ip}:8080"), 1);
    assert_eq!(endpoints, [name("10.0.0.1"), name("10.0.0.2")]);
    assert_eq!(seconds, 20, "the shortest time to live");
    let (endpoints, seconds) = found(dns("https://six.test.")).await.unwrap();
    assert_eq!(
        endpoints,
        [("https://six.test. at [2001:db8::1]:443".to_owned(), 1)]
    );
    assert_eq!(seconds, 3600);
    let (_, seconds) = found(dns("http://brief.test.")).await.unwrap();
    assert_eq!(seconds, 1, "not all the time");
    let (endpoints, _) = found(dns("http://both.test.")).await.unwrap();
    assert_eq!(endpoints.len(), 2, "{endpoints:?}");
    for wrong in ["http://none.test.", "users.test", "unix:/run/a"] {
        assert!(found(dns(wrong)).await.is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_service_has_targets_ports_and_weights() {
    let server = server(vec![
        ("_o._tcp.test.", 60, srv(2, 9, 9, "backup.test.")),
        ("_o._tcp.test.", 60, srv(1, 30, 8001, "a.test.")),
        ("_o._tcp.test.", 60, srv(1, 0, 8002, "b.test.")),
        ("_o._tcp.test.", 60, srv(1, 5, 8003, "gone.test.")),
        ("_none._tcp.test.", 60, srv(0, 0, 0, ".")),
        ("_bad._tcp.test.", 60, srv(0, 0, 1, "gone.test.")),
        ("a.test.", 30, ip("10.0.0.1")),
        ("b.test.", HOUR, ip("10.0.0.2")),
        ("backup.test.", HOUR, ip("10.0.0.3")),
    ])
    .await;
    let dns = |name: &str| Dns::srv("http", name).server(server);
    let (endpoints, seconds) = found(dns("_o._tcp.test.")).await.unwrap();
    let expected = [
        ("http://a.test:8001 at 10.0.0.1:8001".to_owned(), 30),
        ("http://b.test:8002 at 10.0.0.2:8002".to_owned(), 1),
    ];
    assert_eq!(endpoints, expected);
    assert_eq!(seconds, 30, "of the target's address");
    assert_eq!(found(dns("_none._tcp.test.")).await.unwrap().0, []);
    for gone in ["_bad._tcp.test.", "_x._tcp.test."] {
        assert!(found(dns(gone)).await.is_err(), "{gone}");
    }
}

#[tokio::test]
async fn a_record_that_is_no_use_does_not_spoil_the_others() {
    let server = server(vec![
        ("_o._tcp.test.", 60, srv(1, 5, 8001, "a.test.")),
        ("_o._tcp.test.", 60, srv(1, 5, 8001, "a.test.")),
        ("_o._tcp.test.", 60, srv(1, 7, 8001, "A.TEST.")),
        ("_o._tcp.test.", 60, srv(1, 5, 0, "a.test.")),
        ("_zero._tcp.test.", 60, srv(1, 5, 0, "a.test.")),
        ("a.test.", HOUR, ip("10.0.0.1")),
        ("a.test.", HOUR, ip("10.0.0.1")),
    ])
    .await;
    let dns = |name: &str| Dns::srv("http", name).server(server);
    let (endpoints, _) = found(dns("_o._tcp.test.")).await.unwrap();
    let one = "http://a.test:8001 at 10.0.0.1:8001".to_owned();
    assert_eq!(endpoints.len(), 1, "{endpoints:?}");
    assert_eq!(endpoints[0].0, one);
    let error = found(dns("_zero._tcp.test.")).await.unwrap_err();
    assert!(error.contains("port"), "{error}");
    let twice = found(Dns::hosts("http://a.test.").server(server)).await;
    assert_eq!(twice.unwrap().0.len(), 1);
}

#[test]
fn of_too_many_the_same_ones_are_used() {
    let all: Vec<_> = (0..3000)
        .map(|at| Endpoint::new(format!("http://h{at:04}")))
        .collect();
    let first = usable(all.clone()).unwrap();
    assert_eq!(first[..], all[..MOST]);
    assert_eq!(usable(all.iter().rev().cloned()).unwrap(), first);
    assert_eq!(usable(all[..MOST].to_vec()).unwrap(), first, "as they come");
}

#[test]
fn wrong_settings_are_named() {
    let long = "a".repeat(64);
    for (dns, what) in [
        (Dns::hosts("users.test"), "`users.test`"),
        (Dns::hosts("http://a:0"), "port"),
        (Dns::hosts("unix:/run/a"), "`unix:/run/a`"),
        (Dns::hosts("http://a..b"), "`http://a..b`"),
        (Dns::hosts(format!("http://{long}")), "aaaa"),
        (Dns::srv("ftp", "_o._tcp.test"), "`ftp://a`"),
        (Dns::srv("http", ""), "``"),
        (Dns::srv("http", "."), "`.`"),
        (Dns::srv("http", "http://a"), "`http://a`"),
        (Dns::srv("http", "a:8600"), "`a:8600`"),
        (Dns::srv("http", "_o..test"), "`_o..test`"),
    ] {
        let mistakes = dns.mistakes();
        assert!(
            mistakes.len() == 1 && mistakes[0].contains(what),
            "{what}: {mistakes:?}"
        );
    }
    for dns in [
        Dns::hosts("http://users.test.:8080/v1"),
        Dns::hosts("http://10.0.0.1"),
        Dns::hosts("http://[::1]:80"),
        Dns::srv("http", "_o._tcp.test"),
    ] {
        assert_eq!(dns.mistakes(), [""; 0]);
    }
}
