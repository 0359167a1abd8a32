//! System health.

use askama::Template;

use super::access::Preflight;
use super::shell::{Badge, Fact, Layout, Tone};

/// `/health-page`.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/health.html")]
pub struct HealthPage {
    /// The frame.
    pub layout: Layout,
    /// The failing ones first; each says what mends it.
    pub checks: Vec<Preflight>,
    /// Version, database, addresses; without secrets, made for pasting into a report.
    pub facts: Vec<Fact>,
}

impl HealthPage {
    /// The worst of the checks, in words.
    pub fn verdict(&self) -> Badge {
        let worst = |tone| self.checks.iter().filter(|check| check.tone == tone).count();
        match (worst(Tone::Bad), worst(Tone::Warn)) {
            (0, 0) => Badge::new(Tone::Ok, "circle-check", "All is well"),
            (0, look) => Badge::new(Tone::Warn, "triangle-alert", format!("{look} to look at")),
            (failed, _) => Badge::new(Tone::Bad, "octagon-x", format!("{failed} failed")),
        }
    }

    /// The facts as lines of text for the copy button.
    pub fn summary(&self) -> String {
        let lines = self.facts.iter().map(|fact| format!("{}: {}", fact.label, fact.value));
        let checks = self
            .checks
            .iter()
            .map(|check| format!("[{}] {}: {}", check.tone.class(), check.title, check.detail));
        lines.chain(checks).collect::<Vec<_>>().join("\n")
    }
}
