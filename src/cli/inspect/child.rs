//! The answering side of `inspector`: one task, one answer on standard output, and nothing else.
//!
//! What is asked for is opened, the sandbox closes, and only then is a byte of it read.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write, stdout};

use serde::Serialize;

use super::{Failed, Opened, file_diff, position, sandbox};
use crate::domain::review::checks::{self, Pair};
use crate::domain::review::compared::Compared;
use crate::domain::review::delta::Comparison;
use crate::domain::review::files::{self, FileEntry};
use crate::domain::review::finding::Finding;
use crate::domain::review::survey::Survey;
use crate::inspect::request::{Answer, Misbehavior, Request, Sandbox, Standing, Task, Unreadable};

/// Carries out a task. Bytes that are refused are an answer; every failure is a failure.
pub(super) fn run(task: &str) -> Result<(), Failed> {
    let task: Task = serde_json::from_str(task)?;
    let open = |(number, artifact)| {
        Ok::<_, Failed>(Opened { number: Some(number), ..Opened::new(artifact)? })
    };
    let opened: Vec<Opened> =
        task.request.artifacts().into_iter().enumerate().map(open).collect::<Result<_, _>>()?;
    sandbox::write_no_files()?;
    let sandbox = sandbox::enter(task.bounds)?;
    match carry_out(&task.request, &opened, sandbox) {
        Ok(()) => Ok(()),
        Err(failed) => write(&Answer::<()>::Err(*failed.downcast::<Unreadable>()?)),
    }
}

fn carry_out(request: &Request, opened: &[Opened], sandbox: Sandbox) -> Result<(), Failed> {
    match (request, opened) {
        (Request::Compare { standing, .. }, [candidate, baseline @ ..]) => {
            write(&Ok(compare(candidate, baseline.first(), standing)?))
        }
        (Request::Files { .. }, [candidate, baseline @ ..]) => {
            write(&Ok(files(candidate, baseline.first())?))
        }
        (Request::Diff { wanted, .. }, [candidate, baseline @ ..]) => {
            write(&Ok(file_diff(candidate, baseline.first(), wanted)?))
        }
        (Request::SameRelease { .. }, [sdist, wheel]) => {
            write(&Ok(same_release([sdist, wheel], None)?))
        }
        (Request::SameRelease { .. }, [sdist, wheel, sdist_before, wheel_before]) => {
            write(&Ok(same_release([sdist, wheel], Some([sdist_before, wheel_before]))?))
        }
        (Request::Sandbox, _) => write(&Ok(sandbox)),
        (Request::Misbehave(how), _) => misbehave(*how),
        (
            Request::Compare { .. }
            | Request::SameRelease { .. }
            | Request::Files { .. }
            | Request::Diff { .. },
            _,
        ) => Err("expected another number of files".into()),
    }
}

fn compare(
    candidate: &Opened,
    baseline: Option<&Opened>,
    standing: &Standing,
) -> Result<Compared, Failed> {
    let candidate = candidate.survey(None)?;
    let baseline = match baseline {
        Some(baseline) => Some(baseline.survey(Some(&candidate))?),
        None => standing.baseline_unreadable.then(|| Survey::nothing(&candidate)),
    };
    let comparison = Comparison { baseline: baseline.as_ref(), candidate: &candidate };
    let findings = checks::findings(&comparison, &position(&candidate, standing));
    Ok(Compared::of(&comparison, findings))
}

fn files(candidate: &Opened, baseline: Option<&Opened>) -> Result<Vec<FileEntry>, Failed> {
    let after = candidate.survey(None)?;
    let before = baseline.map(|it| it.survey(Some(&after))).transpose()?;
    let comparison = Comparison { baseline: before.as_ref(), candidate: &after };
    let counts = match baseline {
        Some(baseline) => candidate.counts(baseline, &comparison)?,
        None => BTreeMap::new(),
    };
    Ok(files::list(&comparison, &counts))
}

fn same_release(pair: [&Opened; 2], before: Option<[&Opened; 2]>) -> Result<Vec<Finding>, Failed> {
    let read =
        |[sdist, wheel]: [&Opened; 2]| Ok::<_, Failed>((sdist.survey(None)?, wheel.survey(None)?));
    let (pair, before) = (read(pair)?, before.map(read).transpose()?);
    Ok(checks::sdist_against_wheel(beside(&pair), before.as_ref().map(beside)))
}

fn beside((sdist, wheel): &(Survey, Survey)) -> Pair<'_> {
    Pair { sdist, wheel }
}

fn write<T: Serialize>(answer: &Answer<T>) -> Result<(), Failed> {
    let mut out = BufWriter::new(stdout().lock());
    serde_json::to_writer(&mut out, answer)?;
    Ok(out.flush()?)
}

/// What a reader in a hostile hand would do; tests see how it ends.
fn misbehave(how: Misbehavior) -> Result<(), Failed> {
    match how {
        Misbehavior::Allocate => {
            let mut taken: Vec<Vec<u8>> = Vec::new();
            loop {
                taken.push(std::hint::black_box(vec![1; 1 << 20]));
            }
        }
        Misbehavior::Spin => loop {
            std::hint::spin_loop();
        },
        Misbehavior::Panic => std::panic::panic_any("asked to"),
        Misbehavior::Flood => loop {
            stdout().write_all(&[b' '; 4096])?;
        },
        Misbehavior::Reach => write(&Ok(sandbox::reach())),
    }
}
