//! Fields of forms: what was typed, and what is wrong with it.

/// A text field. Keeps what was typed, so that nobody types twice.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// What was typed, or the suggestion.
    pub value: String,
    /// What is wrong with it: what was expected and what came.
    pub error: Option<String>,
}

impl Field {
    /// A field with a value and no error.
    pub fn of(value: impl Into<String>) -> Self {
        Self { value: value.into(), error: None }
    }

    /// The error, or nothing; for templates.
    pub fn wrong(&self) -> &str {
        self.error.as_deref().unwrap_or_default()
    }
}

/// One entry of a select, radio group or list of tick boxes.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The submitted value.
    pub value: String,
    /// What it says.
    pub text: String,
    /// What choosing it means; may be empty.
    pub hint: String,
    /// Chosen now.
    pub chosen: bool,
}

impl Choice {
    /// An entry that is not chosen.
    pub fn new(value: impl Into<String>, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { value: value.into(), text: text.into(), hint: hint.into(), chosen: false }
    }

    /// The same entry, chosen.
    pub fn chosen(self) -> Self {
        Self { chosen: true, ..self }
    }
}

/// The list above a form that was refused: each line leads to its field.
#[derive(Clone, Debug)]
pub struct FormError {
    /// `id` of the field, which is its name too.
    pub field: String,
    /// What was expected and what came.
    pub text: String,
}

/// Collects the errors of the given fields for the list above the form.
pub fn errors(fields: &[(&str, &Field)]) -> Vec<FormError> {
    fields
        .iter()
        .filter_map(|(name, field)| {
            let text = field.error.clone()?;
            Some(FormError { field: (*name).to_owned(), text })
        })
        .collect()
}
