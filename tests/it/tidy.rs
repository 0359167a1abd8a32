//! Reads the whole tree as text and fails, with place and remedy, where it breaks a rule of the
//! house.
//!
//! Every check is a function from text to complaints with tests on bad samples beside it: a check
//! that cannot fail would be worse than none. The rules are explained in `CONTRIBUTING.md`, the
//! layers in `ARCHITECTURE.md`.

mod documents;
mod layers;
mod rust;
mod style;
mod text;
mod tree;

use tree::{Complaint, File};

fn none_of(complaints: &[Complaint]) {
    let list: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} complaints:\n{}", list.len(), list.join("\n"));
}

fn each(wanted: fn(&File) -> bool, check: fn(&File) -> Vec<Complaint>) {
    let files = tree::every_file();
    let looked_at: Vec<&File> = files.iter().filter(|file| wanted(file)).collect();
    assert!(!looked_at.is_empty(), "the check looked at no file");
    let complaints: Vec<Complaint> = looked_at.into_iter().flat_map(check).collect();
    none_of(&complaints);
}

#[test]
fn imports_point_down() {
    each(File::is_product, layers::imports);
}

#[test]
fn outside_crates_stay_in_their_module() {
    each(File::is_product, layers::confined_crates);
}

#[test]
fn top_level_modules_form_no_cycle() {
    none_of(&layers::cycles(&tree::every_file()));
}

#[test]
fn rust_files_say_what_they_are() {
    each(File::is_rust, style::header);
}

#[test]
fn functions_fit_a_screen() {
    each(File::is_rust, style::long_functions);
}

#[test]
fn lines_fit_the_page() {
    each(File::is_product, style::long_lines);
}

#[test]
fn nothing_is_left_unfinished_or_switched_off() {
    each(File::is_code, style::unfinished);
}

#[test]
fn product_code_does_not_panic_on_purpose() {
    each(File::is_product, style::panics);
}

#[test]
fn names_say_what_a_thing_is() {
    each(File::is_product, style::names);
}

#[test]
fn templates_are_inert() {
    each(File::is_template, text::active_markup);
}

#[test]
fn no_public_registry_is_named() {
    each(|_| true, text::registry_hosts);
}

#[test]
fn no_path_of_one_machine_is_named() {
    each(|_| true, text::machine_paths);
}

#[test]
fn files_are_small_enough_for_git() {
    each(|_| true, text::large_files);
}

#[test]
fn lock_files_hold_no_addresses() {
    each(File::is_lock, text::lock_addresses);
}

#[test]
fn every_kind_of_refusal_is_explained() {
    none_of(&documents::problems(&tree::every_file()));
}

#[test]
fn every_client_has_a_page() {
    none_of(&documents::clients(&tree::every_file()));
}

#[test]
fn every_key_that_operators_write_is_explained() {
    none_of(&documents::operators_keys(&tree::every_file()));
}

#[test]
fn every_rule_names_a_test_that_exists() {
    none_of(&documents::rules(&tree::every_file()));
}

#[test]
fn links_between_documents_lead_somewhere() {
    none_of(&documents::links(&tree::every_file()));
}
