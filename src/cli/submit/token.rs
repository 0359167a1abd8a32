//! The CI token: from a named environment variable, from GitHub Actions, or from GitLab CI.

use std::env;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use url::Url;

use super::SubmitError;
use super::gateway::{json, unreachable};

/// Where the CI token comes from.
#[derive(Debug)]
pub(super) enum TokenSource {
    /// This environment variable.
    Variable(String),
    /// GitHub mints one for each request.
    GitHub { url: String, credential: SecretString },
    /// GitLab put it into a variable named after the audience.
    GitLab,
}

#[derive(Deserialize)]
struct GitHubAnswer {
    value: String,
}

impl TokenSource {
    /// What `--token-env` says, or what the environment offers.
    pub(super) fn of(variable: Option<&str>) -> Self {
        if let Some(name) = variable {
            return Self::Variable(name.to_owned());
        }
        let request =
            (env::var("ACTIONS_ID_TOKEN_REQUEST_URL"), env::var("ACTIONS_ID_TOKEN_REQUEST_TOKEN"));
        match request {
            (Ok(url), Ok(credential)) => Self::GitHub { url, credential: credential.into() },
            _ => Self::GitLab,
        }
    }

    /// A token for this audience.
    pub(super) async fn get(
        &self,
        client: &reqwest::Client,
        audience: &str,
    ) -> Result<SecretString, SubmitError> {
        match self {
            Self::Variable(name) => variable(name),
            Self::GitLab => variable(&gitlab_variable(audience)),
            Self::GitHub { url, credential } => {
                let mut url = Url::parse(url).map_err(|_| {
                    let name = "ACTIONS_ID_TOKEN_REQUEST_URL";
                    SubmitError::Usage(format!("expected an address in `{name}`"))
                })?;
                url.query_pairs_mut().append_pair("audience", audience);
                let request = client.get(url).bearer_auth(credential.expose_secret());
                let answer = request.send().await.map_err(|error| unreachable(&error))?;
                if !answer.status().is_success() {
                    let message = format!(
                        "GitHub gave no token ({}); does the job have `id-token: write`?",
                        answer.status()
                    );
                    return Err(SubmitError::Other(message));
                }
                let answer: GitHubAnswer = json(answer).await?;
                Ok(answer.value.into())
            }
        }
    }
}

fn variable(name: &str) -> Result<SecretString, SubmitError> {
    match env::var(name) {
        Ok(token) if !token.trim().is_empty() => Ok(token.trim().to_owned().into()),
        _ => Err(SubmitError::Usage(format!(
            "expected a CI token in the environment variable `{name}`, received none; on GitHub \
             give the job `id-token: write`, elsewhere name a variable with `--token-env`"
        ))),
    }
}

/// The audience in capitals, with `_` for what a variable cannot have, and `_ID_TOKEN`.
fn gitlab_variable(audience: &str) -> String {
    let name: String = audience
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    format!("{name}_ID_TOKEN")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gitlab_names_the_variable_after_the_audience() {
        assert_eq!(gitlab_variable("releases.example"), "RELEASES_EXAMPLE_ID_TOKEN");
        assert_eq!(gitlab_variable("my-gate.example"), "MY_GATE_EXAMPLE_ID_TOKEN");
    }
}
