//! Checks a release's evidence as anybody may: with the command, and with the Python program of the documents.

use std::path::Path;

use tokio::process::Command;

use crate::tools;

/// Whether each of the two verifiers says that the file with this digest was approved before it was sent.
pub async fn offline_verdicts(evidence: &Path, key: &str, digest: &str) -> [bool; 2] {
    let mut command = Command::new(tools::countersign());
    command.arg("verify");
    let mut python = Command::new(tools::python("python"));
    python.arg("-B").arg(tools::checkout().join("docs/verify/verify.py"));
    let mut verdicts = [false; 2];
    for (verdict, program) in verdicts.iter_mut().zip([command, python].iter_mut()) {
        program.arg(evidence).args(["--key", key, "--digest", &format!("sha256:{digest}")]);
        let output = program.output().await.expect("a verifier runs");
        let said =
            String::from_utf8_lossy(&output.stdout).contains("were approved before they were sent");
        assert_eq!(output.status.success(), said, "{output:?}");
        *verdict = said;
    }
    verdicts
}
