//! Previews of a release.

use askama::Template;

use super::home::ReleaseName;
use super::shell::Layout;
use crate::web::display::When;

/// The part of the release's page about previews.
#[derive(Clone, Debug)]
pub struct Previews {
    /// Where the form posts that makes one.
    pub make: String,
    /// Those that have not ended.
    pub open: Vec<OpenPreview>,
}

/// A preview that has not ended.
#[derive(Clone, Debug)]
pub struct OpenPreview {
    /// Who made it.
    pub made_by: String,
    /// When it ends by itself.
    pub expires: When,
    /// Where the form posts that ends it.
    pub end: String,
}

/// The answer to making one.
#[derive(Clone, Debug, Template)]
#[template(path = "pages/preview.html")]
pub struct PreviewPage {
    /// The frame.
    pub layout: Layout,
    /// Of which release.
    pub release: ReleaseName,
    /// What to type to try it.
    pub commands: Vec<Command>,
    /// When it ends by itself.
    pub expires: When,
}

/// One way to try it.
#[derive(Clone, Debug)]
pub struct Command {
    /// "With pip".
    pub label: String,
    /// The whole command.
    pub text: String,
}
