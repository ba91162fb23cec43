//! The result: a table for people, and JSON with every sample.

use std::fs;

use serde_json::json;

use crate::measure::{Sample, Series};
use crate::options::Options;

pub(crate) fn write(all: &[Series], options: &Options) -> Result<(), String> {
    let Some(reference) = all.first() else {
        return Ok(());
    };
    println!(
        "{} over {}{}, {} in flight, {} rounds of {} s; ratios to {}, each taken within its round\n",
        options.path,
        if options.http2 { "HTTP/2" } else { "HTTP/1.1" },
        if options.api_headers {
            " with API headers"
        } else {
            ""
        },
        options.connections,
        options.rounds,
        options.seconds,
        reference.name,
    );
    println!("peer      CPU µs/request  CPU ratio    min..max       rps  rps ratio  core busy");
    for series in all {
        let cpu = ratios(series, reference, |sample| sample.cpu_us);
        let rate = ratios(series, reference, |sample| sample.per_second);
        println!(
            "{:<8}{:>16.2}{:>11.2}{:>12}{:>10.0}{:>11.2}{:>10.0}%",
            series.name,
            median(values(series, |sample| sample.cpu_us)),
            median(cpu.clone()),
            format!("{:.2}..{:.2}", min(&cpu), max(&cpu)),
            median(values(series, |sample| sample.per_second)),
            median(rate),
            100.0 * median(values(series, |sample| sample.busy)),
        );
    }
    match &options.json {
        Some(file) => fs::write(file, as_json(all, reference, options))
            .map_err(|error| format!("{}: {error}", file.display())),
        None => Ok(()),
    }
}

fn as_json(all: &[Series], reference: &Series, options: &Options) -> String {
    let peers: Vec<_> = all
        .iter()
        .map(|series| {
            json!({
                "peer": series.name,
                "cpu_us_per_request": values(series, |sample| sample.cpu_us),
                "requests_per_second": values(series, |sample| sample.per_second),
                "core_busy": values(series, |sample| sample.busy),
                "cpu_ratio": median(ratios(series, reference, |sample| sample.cpu_us)),
                "rps_ratio": median(ratios(series, reference, |sample| sample.per_second)),
            })
        })
        .collect();
    let run = json!({
        "path": options.path,
        "http2": options.http2,
        "api_headers": options.api_headers,
        "connections": options.connections,
        "seconds": options.seconds,
        "rounds": options.rounds,
        "reference": reference.name,
        "peers": peers,
    });
    format!("{run:#}\n")
}

fn values(series: &Series, of: fn(&Sample) -> f64) -> Vec<f64> {
    series.samples.iter().map(of).collect()
}

fn ratios(series: &Series, reference: &Series, of: fn(&Sample) -> f64) -> Vec<f64> {
    let pairs = series.samples.iter().zip(&reference.samples);
    pairs.map(|(own, other)| of(own) / of(other)).collect()
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.get(half.saturating_sub(1 - values.len() % 2)..=half) {
        Some(middle) => middle.iter().sum::<f64>() / middle.len() as f64,
        _ => f64::NAN,
    }
}

fn min(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn max(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
