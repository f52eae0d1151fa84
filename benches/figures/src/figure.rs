//! Samples, pairs of them, and the line that a figure is printed as.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// How far a reference may spread, from its least to its most relative to its median, before it counts as noisy.
const NOISY: f64 = 0.3;

/// Measured times.
#[derive(Debug, Clone)]
pub struct Samples {
    sorted: Vec<Duration>,
}

impl Samples {
    /// Samples in any order; at least one.
    pub fn new(mut times: Vec<Duration>) -> Self {
        assert!(!times.is_empty(), "nothing was measured");
        times.sort_unstable();
        Self { sorted: times }
    }

    /// The value below which this share of the samples lies, by the nearest rank.
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a share of a number of samples"
        )]
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        self.sorted[rank.clamp(1, self.sorted.len()) - 1]
    }

    /// The median.
    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    /// Their number.
    #[expect(clippy::len_without_is_empty, reason = "there is at least one")]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether they spread so far that a comparison with them means little.
    pub fn noisy(&self) -> bool {
        self.spread() > NOISY
    }

    fn spread(&self) -> f64 {
        let (least, most) = (self.sorted[0], self.sorted[self.sorted.len() - 1]);
        most.saturating_sub(least).as_secs_f64() / self.median().as_secs_f64().max(f64::EPSILON)
    }
}

/// `median (least-most)`
impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.sorted[0], self.sorted[self.sorted.len() - 1]);
        write!(f, "{} ({}-{})", time(self.median()), time(least), time(most))
    }
}

/// The same thing done by the service and by what it is compared with, in turns.
#[derive(Debug)]
pub struct Pairs {
    service: Samples,
    reference: Samples,
    /// Time of the service over time of the reference, of each pair; sorted.
    ratios: Vec<f64>,
}

impl Pairs {
    /// Measures pairs: A B A B. Each gives a time.
    ///
    /// # Errors
    /// The first of either.
    pub fn measure(
        pairs: usize,
        mut service: impl FnMut() -> Result<Duration>,
        mut reference: impl FnMut() -> Result<Duration>,
    ) -> Result<Self> {
        let mut both = Vec::with_capacity(pairs);
        for _ in 0..pairs {
            both.push((service()?, reference()?));
        }
        Ok(Self::new(&both))
    }

    /// Pairs of the service's and the reference's time; at least one.
    pub fn new(both: &[(Duration, Duration)]) -> Self {
        let mut ratios: Vec<f64> = both.iter().map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        Self {
            service: Samples::new(both.iter().map(|(service, _)| *service).collect()),
            reference: Samples::new(both.iter().map(|(_, reference)| *reference).collect()),
            ratios,
        }
    }

    fn ratio(&self) -> f64 {
        self.ratios[self.ratios.len() / 2]
    }

    fn detail(&self, reference: &str) -> String {
        format!("service {}, {reference} {}, {} pairs", self.service, self.reference, self.ratios.len())
    }

    /// The service must take at most `most` times as long as the reference.
    pub fn at_most(&self, name: &'static str, most: f64, reference: &str) -> Figure {
        let range = format!("{:.2}-{:.2}", self.ratios[0], self.ratios[self.ratios.len() - 1]);
        Figure {
            name,
            measured: format!("{:.2} x", self.ratio()),
            limit: format!("<= {most:.2} x"),
            reached: self.ratio() <= most,
            noisy: self.reference.noisy(),
            detail: format!("ratio {range}; {}", self.detail(reference)),
        }
    }

    /// What the ratio is; nothing must be reached.
    pub fn reported(&self, name: &'static str, reference: &str) -> Figure {
        Figure { limit: "-".to_owned(), reached: true, ..self.at_most(name, f64::INFINITY, reference) }
    }

    /// The service must be at least `least` times as fast as the reference.
    pub fn faster(&self, name: &'static str, least: f64, reference: &str) -> Figure {
        let faster = 1.0 / self.ratio();
        let range = format!("{:.2}-{:.2}", 1.0 / self.ratios[self.ratios.len() - 1], 1.0 / self.ratios[0]);
        Figure {
            name,
            measured: format!("{faster:.2} x faster"),
            limit: format!(">= {least:.2} x"),
            reached: faster >= least,
            noisy: self.reference.noisy(),
            detail: format!("ratio {range}; {}", self.detail(reference)),
        }
    }
}

/// One figure.
#[derive(Debug)]
pub struct Figure {
    /// Its name.
    pub name: &'static str,
    /// What was measured, with its unit.
    pub measured: String,
    /// What must be reached.
    pub limit: String,
    /// Whether it is.
    pub reached: bool,
    /// Whether what it is compared with spreads so far that the ratio means little.
    pub noisy: bool,
    /// Least, median, most, and of what.
    pub detail: String,
}

impl Figure {
    /// What stands above the figures.
    pub fn heading(quick: bool) -> String {
        let detail = if quick { "QUICK: proves nothing" } else { "median (least-most)" };
        format!("{:<24} {:>14} {:>12}  {:<11}  {detail}", "figure", "measured", "limit", "result")
    }

    /// A figure that nothing can be measured for.
    pub fn missing(name: &'static str, limit: &str, why: &str) -> Self {
        Self { name, measured: "missing".into(), limit: limit.into(), reached: false, noisy: false, detail: why.into() }
    }

    /// Whether the limit is reached.
    pub fn reached(&self) -> bool {
        self.reached
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, measured, limit, reached, noisy, detail } = self;
        let result = match (reached, noisy) {
            (true, false) => "ok",
            (true, true) => "ok noisy",
            (false, false) => "short",
            (false, true) => "short noisy",
        };
        write!(f, "{name:<24} {measured:>14} {limit:>12}  {result:<11}  {detail}")
    }
}

/// A time in the unit that suits it.
pub fn time(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} us", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.2} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// How long something takes, and what it gives.
///
/// # Errors
/// Its own.
pub fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let started = Instant::now();
    let result = work()?;
    Ok((started.elapsed(), result))
}

/// Figures that are measured together: their name, and how they are measured on what the bench has started.
pub type Group<Stage> = (&'static str, fn(&Stage) -> Result<Vec<Figure>>);

/// Measures the groups of these names, all if there are none, and prints the figures of each at once, and how long it took; whether all
/// are reached.
///
/// # Errors
/// A group could not be measured.
pub fn measure<Stage>(groups: &[Group<Stage>], only: &[String], stage: &Stage) -> Result<bool> {
    let mut reached = true;
    for (name, group) in groups {
        if !only.is_empty() && !only.iter().any(|only| only == name) {
            continue;
        }
        let (took, figures) = timed(|| group(stage).with_context(|| format!("measure {name}")))?;
        for figure in figures {
            println!("{figure}");
            reached &= figure.reached();
        }
        println!("# {name} took {}", time(took));
    }
    Ok(reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn quantiles_are_samples() {
        let samples = Samples::new((1..=100).rev().map(ms).collect());
        assert_eq!(samples.median(), ms(50));
        assert_eq!(samples.quantile(0.99), ms(99));
        assert_eq!(samples.quantile(1.0), ms(100));
        assert_eq!(Samples::new(vec![ms(7)]).median(), ms(7));
    }

    #[test]
    fn ratio_is_the_median_of_the_pairs_and_limits_bind() {
        let pairs = Pairs::new(&[(ms(10), ms(10)), (ms(12), ms(10)), (ms(50), ms(10))]);
        assert!(pairs.at_most("x", 1.2, "y").reached());
        assert!(!pairs.at_most("x", 1.19, "y").reached());
        assert!(pairs.faster("x", 0.83, "y").reached());
        assert!(!pairs.faster("x", 0.84, "y").reached());
        assert!(!pairs.at_most("x", 1.2, "y").noisy);
    }

    #[test]
    fn reference_that_spreads_is_noisy() {
        let pairs = Pairs::new(&[(ms(10), ms(10)), (ms(10), ms(10)), (ms(10), ms(14))]);
        assert!(pairs.at_most("x", 1.2, "y").to_string().contains("ok noisy"));
    }
}
