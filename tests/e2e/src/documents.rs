//! The snippets of `README.md` and `docs/ci/*.md`, as a reader would copy them, for the gateway under test instead of
//! the example host. A block without a language is what a client prints; all others are followed.

use crate::gateway::Gateway;
use crate::tools;

/// The host that the documents use for everybody's gateway.
const EXAMPLE: &str = "releases.example";

/// One fenced block of a document.
#[derive(Clone, Debug)]
pub struct Snippet {
    /// `docs/ci/twine.md:3`, for messages.
    pub place: String,
    /// What stands before it names a file that it is the content of.
    pub file: Option<String>,
    language: String,
    text: String,
}

/// Something a reader of a snippet would have done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Shell commands, to be run as they are.
    Run(String),
    /// The PyPA publish action with this `repository-url`.
    PypaAction(String),
}

/// A token that a GitLab job asks for: the variable, and the audience.
pub type IdToken = (String, String);

/// The pages under `docs/ci/`, and the README.
pub fn pages() -> Vec<String> {
    let folder = tools::checkout().join("docs/ci");
    let entries = std::fs::read_dir(&folder).expect("docs/ci");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let mut pages: Vec<String> =
        names.map(|name| format!("docs/ci/{}", name.to_string_lossy())).collect();
    pages.push("README.md".to_string());
    pages.sort();
    pages
}

/// The blocks of a document that have a language, in order.
pub fn snippets(page: &str) -> Vec<Snippet> {
    let text = std::fs::read_to_string(tools::checkout().join(page)).expect("a document");
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(language) = lines[at].strip_prefix("```") else {
            at += 1;
            continue;
        };
        let end = (at + 1..lines.len()).find(|line| lines[*line] == "```").expect("an end");
        if !language.is_empty() {
            let before = lines[..at].iter().rev().find(|line| !line.is_empty());
            found.push(Snippet {
                place: format!("{page}:{}", at + 1),
                file: before.and_then(|line| named_file(line)),
                language: language.to_string(),
                text: lines[at + 1..end].join("\n"),
            });
        }
        at = end + 1;
    }
    found
}

/// `.yarnrc.yml` in a line that is only its name and a colon.
fn named_file(line: &str) -> Option<String> {
    Some(line.strip_prefix('`')?.strip_suffix("`:")?.to_string())
}

impl Snippet {
    /// The same for `gateway`: its address with the port, its host as audience, its name in variables.
    pub fn at(&self, gateway: &Gateway) -> Snippet {
        let authority = gateway.tls.split("://").nth(1).expect("an address");
        let host = authority.split(':').next().expect("a host");
        let text = self.text.replace(&format!("//{EXAMPLE}"), &format!("//{authority}"));
        let text = text.replace(EXAMPLE, host);
        let text = text.replace(&variable(EXAMPLE), &variable(host));
        Snippet { text, ..self.clone() }
    }

    /// What it tells the reader to do, in order; empty for the content of a file.
    pub fn steps(&self) -> Vec<Step> {
        match self.language.as_str() {
            _ if self.file.is_some() => Vec::new(),
            "sh" => vec![Step::Run(self.text.clone())],
            "yaml" => workflow_steps(&self.text),
            other => panic!("{} is in {other}, which nobody here can follow", self.place),
        }
    }

    /// The tokens it asks GitLab for.
    pub fn id_tokens(&self) -> Vec<IdToken> {
        let lines: Vec<&str> = self.text.lines().map(str::trim).collect();
        let pairs = lines.windows(2).filter_map(|pair| {
            let audience = pair[1].strip_prefix("aud: ")?;
            Some((pair[0].strip_suffix(':')?.to_string(), audience.to_string()))
        });
        pairs.collect()
    }

    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// `RELEASES_EXAMPLE`, as uv makes it of the audience.
fn variable(host: &str) -> String {
    host.to_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_")
}

/// The `run:` steps of a GitHub workflow or the `script:` of a GitLab job, each list one step.
fn workflow_steps(yaml: &str) -> Vec<Step> {
    let mut commands = Vec::new();
    let mut steps = Vec::new();
    let mut in_script = false;
    for line in yaml.lines().map(str::trim) {
        if let Some(command) = line.strip_prefix("- run: ") {
            commands.push(command);
        } else if let Some(command) = line.strip_prefix("- ").filter(|_| in_script) {
            commands.push(command);
        } else if let Some(url) = line.strip_prefix("repository-url: ") {
            steps.push(Step::PypaAction(url.to_string()));
        }
        in_script = line == "script:" || (in_script && line.starts_with("- "));
    }
    if !commands.is_empty() {
        steps.insert(0, Step::Run(commands.join("\n")));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_of_both_kinds_of_workflow_are_found() {
        let github = "steps:\n  - uses: a/checkout@v5\n  - run: npm ci\n  - run: npm publish\n";
        assert_eq!(workflow_steps(github), [Step::Run("npm ci\nnpm publish".to_string())]);
        let action = "- run: build\n- uses: x\n  with:\n    repository-url: https://h/\n";
        let expected = [Step::Run("build".to_string()), Step::PypaAction("https://h/".to_string())];
        assert_eq!(workflow_steps(action), expected);
        let gitlab = "release:\n  rules:\n    - if: $TAG\n  script:\n    - uv build\n    - uv publish\n  tags:\n    - x\n";
        assert_eq!(workflow_steps(gitlab), [Step::Run("uv build\nuv publish".to_string())]);
    }

    #[test]
    fn every_page_has_a_snippet_for_the_example_host() {
        for page in pages() {
            let with_host = |snippet: &Snippet| snippet.text.contains(EXAMPLE);
            assert!(snippets(&page).iter().any(with_host), "{page}");
        }
        assert_eq!(variable(EXAMPLE), "RELEASES_EXAMPLE");
        assert_eq!(named_file("`.yarnrc.yml`:"), Some(".yarnrc.yml".to_string()));
    }
}
