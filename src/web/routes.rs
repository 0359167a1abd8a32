//! Routes that can be listed. A router knows which address leads where and does not tell; whoever
//! has to try every door (rule A18) needs the list. Every route of the gateway is made here.

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// The path, with variables in braces.
    pub path: String,
    /// The method, or `*` where the handler itself tells methods apart. `GET` answers `HEAD` too.
    pub method: String,
}

/// A router and the list of what is in it.
#[derive(Debug)]
pub struct Routes<S> {
    router: Router<S>,
    table: Vec<Route>,
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), table: Vec::new() }
    }
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// No routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Answers `GET` and `HEAD`.
    pub fn get<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add(Method::GET.as_str(), path, routing::get(handler))
    }

    /// Answers `POST`.
    pub fn post<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add(Method::POST.as_str(), path, routing::post(handler))
    }

    /// Answers `DELETE`.
    pub fn delete<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add(Method::DELETE.as_str(), path, routing::delete(handler))
    }

    /// Answers every method; the handler tells them apart.
    pub fn any<H: Handler<T, S>, T: 'static>(self, path: &str, handler: H) -> Self {
        self.add("*", path, routing::any(handler))
    }

    fn add(mut self, method: &str, path: &str, answers: MethodRouter<S>) -> Self {
        self.table.push(Route { path: path.to_owned(), method: method.to_owned() });
        Self { router: self.router.route(path, answers), ..self }
    }

    /// These routes and those.
    pub fn merge(mut self, others: Self) -> Self {
        self.table.extend(others.table);
        Self { router: self.router.merge(others.router), ..self }
    }

    /// The same routes behind a layer, or with a fallback.
    pub fn within(self, wrap: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        Self { router: wrap(self.router), table: self.table }
    }

    /// The same routes, given what their handlers need.
    pub fn with_state<S2>(self, state: S) -> Routes<S2> {
        Routes { router: self.router.with_state(state), table: self.table }
    }

    /// What is in it, in the order it was added.
    pub fn table(&self) -> &[Route] {
        &self.table
    }

    /// The router itself.
    pub fn into_router(self) -> Router<S> {
        self.router
    }
}
