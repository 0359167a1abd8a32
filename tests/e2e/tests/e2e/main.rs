//! One binary for everything that runs real clients, real registries or a real browser.
//! The modules named `harness_*` prove the drivers themselves against small stand-ins, without the product.

mod baseline;
mod governance;
mod harness_browser;
mod harness_clients;
mod harness_registries;
mod people_browser;
mod preview;
mod reading_browser;
mod release_browser;
mod release_clients;
mod release_documents;
mod release_pages;
mod release_walk;
mod stage;
