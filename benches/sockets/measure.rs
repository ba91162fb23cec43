//! The measurement: every peer in turn within a round, so that what disturbs the machine disturbs all of them.

use std::time::Instant;

use crate::load;
use crate::options::Options;
use crate::peers::Peer;

/// One peer under load for the time of a sample.
pub(crate) struct Sample {
    /// Microseconds of user and system time of the proxy for each completed request.
    pub(crate) cpu_us: f64,
    pub(crate) per_second: f64,
    /// The part of its core that the proxy used, 0 to 1.
    pub(crate) busy: f64,
}

/// All samples of a peer, one for each round.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) samples: Vec<Sample>,
}

pub(crate) fn run(peers: &[Peer], options: &Options) -> Result<Vec<Series>, String> {
    let mut all: Vec<Series> = peers
        .iter()
        .map(|peer| Series {
            name: peer.name,
            samples: Vec::new(),
        })
        .collect();
    for peer in peers {
        load::run(peer, options)?; // opens the connections and fills the caches
    }
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        // Another one begins each round, so that no peer always has the same one before it.
        for turn in 0..peers.len() {
            let at = (round + turn) % peers.len();
            if let (Some(peer), Some(series)) = (peers.get(at), all.get_mut(at)) {
                series.samples.push(sample(peer, options)?);
            }
        }
    }
    Ok(all)
}

fn sample(peer: &Peer, options: &Options) -> Result<Sample, String> {
    let (cpu, begun) = (peer.process.cpu(), Instant::now());
    let counted = load::run(peer, options)?;
    let (cpu, elapsed) = (
        peer.process.cpu().saturating_sub(cpu).as_secs_f64(),
        begun.elapsed().as_secs_f64(),
    );
    if cpu == 0.0 {
        return Err(format!(
            "{} used no CPU that could be measured: take a longer --seconds",
            peer.name
        ));
    }
    Ok(Sample {
        cpu_us: cpu * 1e6 / counted.requests as f64,
        per_second: counted.per_second,
        busy: cpu / elapsed,
    })
}
