//! System health.

use super::layout;
use crate::web::views::access::Preflight;
use crate::web::views::shell::{Fact, Section, Tone};
use crate::web::views::system::HealthPage;

pub(super) fn health() -> HealthPage {
    let check = |tone, title: &str, detail: &str| Preflight {
        tone,
        title: title.to_owned(),
        detail: detail.to_owned(),
    };
    HealthPage {
        layout: layout("System health", Section::Health),
        checks: vec![
            check(
                Tone::Bad,
                "Python index does not answer",
                "Connection refused for 12 min. Approved releases wait and go out by themselves.",
            ),
            check(
                Tone::Warn,
                "One registry is at a private address",
                "Local npm, 127.0.0.1. Allowed when it was added.",
            ),
            check(
                Tone::Warn,
                "Artifacts are read with less protection than there is",
                "Landlock: not in this kernel, or not allowed here. seccomp: in force. Use Linux 6.7 or \
                 later with Landlock switched on, and a container runtime that allows both. The \
                 bounds of memory and time hold all the same.",
            ),
            check(Tone::Ok, "The address is the configured one", "https://releases.aurora.example"),
            check(Tone::Ok, "The database answers", "SQLite, 3 ms."),
            check(Tone::Ok, "Held files can be written", "41 GB free."),
        ],
        facts: vec![
            Fact::code("Version", "0.1.0"),
            Fact::words("Database", "SQLite"),
            Fact::code("Origin", "https://releases.aurora.example"),
            Fact::words("Running since", "20 Nov 2026 08:00 UTC"),
        ],
    }
}
