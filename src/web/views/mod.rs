//! Pages as plain values: one struct per page, every field already formatted.
//!
//! A handler fills the struct and calls [`page`]; templates hold `if` and `for` and nothing else.
//! Text from packages and CI goes through `display::visible` when a view is filled, and [`html`]
//! shows whatever was forgotten.

pub mod access;
pub mod evidence;
pub mod form;
pub mod governance;
pub mod home;
pub mod inspection;
pub mod package;
pub mod people;
pub mod policy;
pub mod registry;
pub mod release;
pub mod shell;
pub mod system;
pub mod together;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

use askama::Template;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::web::display::Visible;

/// A page as text. Fails only if the template does, which is a fault.
pub fn html(page: &impl Template) -> Result<String, askama::Error> {
    let mut text = String::new();
    page.render_into(&mut Visible::new(&mut text))?;
    Ok(text)
}

/// A page as an answer with its status.
pub fn page(status: StatusCode, page: &impl Template) -> Result<Response, askama::Error> {
    let text = html(page)?;
    Ok((status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response())
}

/// A fragment for `live.js`: marked so that no other answer can be taken for one.
pub fn fragment(part: &impl Template) -> Result<Response, askama::Error> {
    let text = html(part)?;
    let headers =
        [(header::CONTENT_TYPE.as_str(), "text/html; charset=utf-8"), ("x-fragment", "1")];
    Ok((headers, text).into_response())
}
