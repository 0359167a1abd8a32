//! Gives up every right a reader of opened files does not need, for the rest of the process.
//!
//! Limits of the kernel come first and are everywhere. Landlock and seccomp are in force where the
//! kernel has them; [`Sandbox`] says so. Each alone keeps files, connections and programs away.
//! All of it holds one thread, so no other may run.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use super::Failed;
use crate::inspect::request::{Bounds, InForce, Sandbox, Tried};

/// What a reader of open files calls: reading, writing, memory, and its own end.
const SYSTEM_CALLS: [i64; 23] = [
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_lseek,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_clock_gettime,
    libc::SYS_sched_yield,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Closes the sandbox. Files that are open stay so.
pub(super) fn enter(bounds: Bounds) -> Result<Sandbox, Failed> {
    limit(Resource::As, bounds.memory_bytes)?;
    // The first signal is the one for time; the limit of the limit only kills.
    let secs = bounds.cpu_secs;
    setrlimit(Resource::Cpu, Rlimit { current: Some(secs), maximum: Some(secs + 1) })?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nproc, 0)?;
    let landlock = landlock()?;
    // No other descriptor can come to be, by whatever call.
    limit(Resource::Nofile, 0)?;
    Ok(Sandbox { landlock, seccomp: seccomp()? })
}

/// Lets the process write to pipes only.
pub(super) fn write_no_files() -> io::Result<()> {
    limit(Resource::Fsize, 0)
}

/// Never more than there was: only an administrator may raise a limit.
fn limit(resource: Resource, wanted: u64) -> io::Result<()> {
    let most = getrlimit(resource).maximum.map_or(wanted, |most| most.min(wanted));
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?)
}

/// No file, no TCP port, no signal to and no socket of others.
fn landlock() -> Result<InForce, Failed> {
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V6))?
        .handle_access(AccessNet::from_all(ABI::V6))?
        .scope(Scope::from_all(ABI::V6))?
        .create()?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => InForce::Whole,
        RulesetStatus::PartiallyEnforced => InForce::Partly,
        RulesetStatus::NotEnforced => InForce::Missing,
    })
}

/// Every other system call fails with `EPERM`.
fn seccomp() -> Result<InForce, Failed> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        SYSTEM_CALLS.into_iter().map(|call| (call, Vec::new())).collect();
    // Memory that is not executable.
    let executable = SeccompCmpOp::MaskedEq(libc::PROT_EXEC.unsigned_abs().into());
    rules.insert(libc::SYS_mmap, vec![argument(2, executable.clone(), 0)?]);
    // Parsers that descend deep take more stack, which is opened after its guard page is made.
    rules.insert(libc::SYS_mprotect, vec![argument(2, executable, 0)?]);
    // An abort, which is a signal to itself.
    let itself = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, vec![argument(0, SeccompCmpOp::Eq, itself)?]);
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    match seccompiler::apply_filter(&BpfProgram::try_from(filter)?) {
        Ok(()) => Ok(InForce::Whole),
        Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error)) => {
            tracing::warn!("seccomp is not in force: {error}");
            Ok(InForce::Missing)
        }
        Err(error) => Err(error.into()),
    }
}

fn argument(number: u8, is: SeccompCmpOp, value: u64) -> Result<SeccompRule, Failed> {
    let condition = SeccompCondition::new(number, SeccompCmpArgLen::Dword, is, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

/// Tries what a sandbox is there to prevent.
pub(super) fn reach() -> Vec<Tried> {
    let tried = |what: &str, came: io::Result<()>| Tried {
        what: what.to_owned(),
        refused: came.err().map(|error| error.to_string()),
    };
    let environment = match std::env::vars_os().next() {
        Some(_) => Ok(()),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    vec![
        tried("know the environment", environment),
        tried("read a file", File::open("/proc/self/environ").map(drop)),
        tried("write a file", File::create("/dev/shm/countersign-reach").map(drop)),
        tried("connect", TcpStream::connect("127.0.0.1:9").map(drop)),
        tried("start a thread", std::thread::Builder::new().spawn(|| ()).map(drop)),
        tried("start a program", Command::new("/bin/true").spawn().map(drop)),
        tried("become a program", Err(Command::new("/bin/true").exec())),
    ]
}
