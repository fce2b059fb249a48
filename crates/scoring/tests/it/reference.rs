//! What the facts of an account are, said in the plainest way: from every signal, without roll-ups or SQL.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use scoring::domain::facts::{AccountFacts, Counted, LimitReading, MAX_EVIDENCE, TitledActors};
use scoring::domain::model::Model;
use scoring::domain::rollup::day_of;
use scoring::domain::signal::RecordedSignal;
use uuid::Uuid;

/// Newest first, by time and id.
fn newest<'a>(signals: impl Iterator<Item = &'a RecordedSignal>) -> Vec<&'a RecordedSignal> {
    let mut signals: Vec<_> = signals.collect();
    signals.sort_by_key(|signal| std::cmp::Reverse((signal.at, signal.id)));
    signals
}

/// The rows of the roll-up: of each key the newest signal, which stands for all of them.
fn rows(signals: &[RecordedSignal]) -> Vec<(&RecordedSignal, i64)> {
    let mut rows: BTreeMap<_, Vec<&RecordedSignal>> = BTreeMap::new();
    for signal in signals {
        let key = (
            day_of(signal.at),
            signal.actor,
            &signal.kind,
            &signal.feature,
            &signal.competitor,
        );
        rows.entry(key).or_default().push(signal);
    }
    let rows = rows
        .into_values()
        .map(|row| (row.len() as i64, newest(row.into_iter())));
    rows.map(|(count, row)| (row[0], count)).collect()
}

fn evidence(of: Vec<&RecordedSignal>) -> Vec<Uuid> {
    of.into_iter()
        .take(MAX_EVIDENCE)
        .map(|signal| signal.id)
        .collect()
}

/// The newest of each group, newest first.
fn firsts<'a, K: Ord>(
    signals: &[&'a RecordedSignal],
    key: impl Fn(&'a RecordedSignal) -> K,
) -> Vec<&'a RecordedSignal> {
    let mut seen = BTreeSet::new();
    signals
        .iter()
        .copied()
        .filter(|signal| seen.insert(key(signal)))
        .collect()
}

/// The facts of an account with these signals and titles, as of `now`.
pub fn facts(
    model: &Model,
    signals: &[RecordedSignal],
    titles: &BTreeMap<Uuid, String>,
    now: Timestamp,
) -> AccountFacts {
    let before = |days: u32| now - SignedDuration::from_hours(i64::from(days) * 24);
    let scan_from: Date = day_of(before(model.scan_days()));
    let (scanned, older): (Vec<_>, Vec<_>) = rows(signals)
        .into_iter()
        .partition(|(row, _)| day_of(row.at) >= scan_from);
    let older = older.iter().map(|(row, _)| row.at).max();
    let ordered = newest(scanned.iter().map(|(row, _)| *row));
    let since = |days: u32| -> Vec<&RecordedSignal> {
        ordered
            .iter()
            .copied()
            .filter(|row| row.at >= before(days))
            .collect()
    };
    let known: Vec<_> = since(model.user_count.window_days)
        .into_iter()
        .filter(|signal| !signal.actor.is_nil())
        .collect();
    let (recent_signals, baseline_signals) = velocity(model, &scanned, ordered.first().copied());
    let (competitor_signals, competitors) = rivals(&scanned, before(model.competitor_signals.window_days));
    AccountFacts {
        rows: scanned.len() as i64,
        first_at: signals
            .iter()
            .filter(|s| day_of(s.at) >= scan_from)
            .map(|s| s.at)
            .min(),
        last_at: ordered.first().map(|row| row.at).or(older),
        has_older: older.is_some(),
        newest: evidence(ordered.clone()),
        users: counted(firsts(&known, |signal| signal.actor)),
        recent_signals,
        baseline_signals,
        features: counted(features(&since(model.feature_breadth.window_days))),
        titles: titled(&since(model.seniority.window_days), titles),
        limits: limits(signals, before(model.limit_proximity.window_days)),
        competitor_signals,
        competitors,
        ..AccountFacts::default()
    }
}

fn counted(of: Vec<&RecordedSignal>) -> Counted {
    Counted {
        count: of.len() as i64,
        signals: evidence(of),
    }
}

/// Signals of the recent days up to the last activity, and of the days before them.
fn velocity(model: &Model, scanned: &[(&RecordedSignal, i64)], last: Option<&RecordedSignal>) -> (i64, i64) {
    let days_back = |row: &RecordedSignal| {
        i64::from(last.map_or(0, |last| (day_of(last.at) - day_of(row.at)).get_days()))
    };
    let sum = |from: i64, to: i64| -> i64 {
        let within = |(row, _): &&(&RecordedSignal, i64)| (from..to).contains(&days_back(row));
        scanned.iter().filter(within).map(|(_, count)| count).sum()
    };
    let rule = model.usage_velocity;
    let (recent, baseline) = (i64::from(rule.recent_days), i64::from(rule.baseline_days));
    (sum(0, recent), sum(recent, recent + baseline))
}

fn features<'a>(since: &[&'a RecordedSignal]) -> Vec<&'a RecordedSignal> {
    let own: Vec<_> = since
        .iter()
        .copied()
        .filter(|signal| signal.competitor.is_empty())
        .collect();
    firsts(&own, |s| {
        if s.feature.is_empty() {
            s.kind.clone()
        } else {
            s.feature.clone()
        }
    })
}

fn rivals(scanned: &[(&RecordedSignal, i64)], from: Timestamp) -> (Counted, Vec<String>) {
    let rows: Vec<_> = scanned
        .iter()
        .filter(|(row, _)| !row.competitor.is_empty() && row.at >= from)
        .copied()
        .collect();
    let names: BTreeSet<_> = rows.iter().map(|(row, _)| row.competitor.clone()).collect();
    let count = rows.iter().map(|(_, count)| count).sum();
    let signals = evidence(newest(rows.iter().map(|(row, _)| *row)));
    (Counted { count, signals }, names.into_iter().take(5).collect())
}

fn titled(active: &[&RecordedSignal], titles: &BTreeMap<Uuid, String>) -> Vec<TitledActors> {
    let mut by_title: BTreeMap<&String, Vec<&RecordedSignal>> = BTreeMap::new();
    for signal in firsts(active, |signal| signal.actor) {
        if let Some(title) = titles.get(&signal.actor) {
            by_title.entry(title).or_default().push(signal);
        }
    }
    let mut all: Vec<TitledActors> = by_title
        .into_iter()
        .map(|(title, actors)| TitledActors {
            title: title.clone(),
            actors: actors.len() as i64,
            last_at: actors[0].at,
            last_signal: actors[0].id,
        })
        .collect();
    all.sort_by(|a, b| b.last_at.cmp(&a.last_at).then(a.title.cmp(&b.title)));
    all
}

fn limits(signals: &[RecordedSignal], from: Timestamp) -> Vec<LimitReading> {
    let mut highest: BTreeMap<_, LimitReading> = BTreeMap::new();
    for signal in signals {
        let Some(usage) = &signal.usage else { continue };
        let reading = LimitReading {
            metric: usage.metric.clone(),
            used: usage.used,
            limit: usage.limit,
            at: signal.at,
            signal: signal.id,
        };
        let slot = highest
            .entry((day_of(signal.at), signal.actor, usage.metric.clone()))
            .or_insert(reading.clone());
        if (reading.ratio(), reading.at, reading.signal) > (slot.ratio(), slot.at, slot.signal) {
            *slot = reading;
        }
    }
    let mut all: Vec<_> = highest
        .into_values()
        .filter(|reading| reading.at >= from)
        .collect();
    all.sort_by(|a, b| {
        b.ratio()
            .total_cmp(&a.ratio())
            .then(b.at.cmp(&a.at))
            .then(b.signal.cmp(&a.signal))
    });
    all.truncate(MAX_EVIDENCE);
    all
}
