//! Reading a JSON object against a schema: every attribute asked for once by name, and errors that name the field.

use super::Json;

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldProblem {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It is of another type.
    #[error("must be {0}")]
    NotA(&'static str),
    /// The schema has no such attribute.
    #[error("is not an attribute that may stand here")]
    Unknown,
    /// Its value breaks a rule.
    #[error("is not valid: {0}")]
    Invalid(String),
}

/// A field that is not as it should be. `field` is a path such as `methodData[0].data.networks[1].id`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct FieldError {
    /// The path of the field.
    pub field: String,
    /// What is wrong with it.
    pub problem: FieldProblem,
}

impl FieldError {
    /// `field` is not there.
    pub fn missing(field: impl Into<String>) -> Self {
        Self { field: field.into(), problem: FieldProblem::Missing }
    }

    /// `field` is not `expected` (with its article).
    pub fn not_a(field: impl Into<String>, expected: &'static str) -> Self {
        Self { field: field.into(), problem: FieldProblem::NotA(expected) }
    }

    /// `field` breaks `rule`.
    pub fn invalid(field: impl Into<String>, rule: impl ToString) -> Self {
        Self { field: field.into(), problem: FieldProblem::Invalid(rule.to_string()) }
    }
}

/// The attributes of one object, taken out one by one.
#[derive(Debug)]
pub struct Attributes {
    path: String,
    rest: Vec<(String, Json)>,
}

impl Attributes {
    /// Reads `value`, which must be an object, standing at `path`.
    ///
    /// # Errors
    /// [`FieldProblem::NotA`].
    pub fn of(path: impl Into<String>, value: Json) -> Result<Self, FieldError> {
        let path = path.into();
        match value {
            Json::Object(rest) => Ok(Self { path, rest }),
            _ => Err(FieldError::not_a(path, "an object")),
        }
    }

    /// Reads `text`, which must be JSON and an object; `path` names it.
    ///
    /// # Errors
    /// [`FieldProblem::Invalid`] for what is no JSON, [`FieldProblem::NotA`].
    pub fn parse(path: &str, text: &str) -> Result<Self, FieldError> {
        Self::of(path, Json::parse(text).map_err(|error| FieldError::invalid(path, error))?)
    }

    /// The path of the attribute `name`.
    pub fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether `name` is there.
    pub fn has(&self, name: &str) -> bool {
        self.rest.iter().any(|(n, _)| n == name)
    }

    /// Takes `name` out, if it is there.
    pub fn optional(&mut self, name: &str) -> Option<Json> {
        let at = self.rest.iter().position(|(n, _)| n == name)?;
        Some(self.rest.swap_remove(at).1)
    }

    /// Takes `name` out.
    ///
    /// # Errors
    /// [`FieldProblem::Missing`].
    pub fn required(&mut self, name: &str) -> Result<Json, FieldError> {
        self.optional(name).ok_or_else(|| FieldError::missing(self.path(name)))
    }

    /// Takes the string `name` out.
    ///
    /// # Errors
    /// [`FieldProblem::Missing`], [`FieldProblem::NotA`].
    pub fn text(&mut self, name: &str) -> Result<String, FieldError> {
        match self.required(name)? {
            Json::Text(text) => Ok(text),
            _ => Err(FieldError::not_a(self.path(name), "a string")),
        }
    }

    /// Takes the array `name` out.
    ///
    /// # Errors
    /// [`FieldProblem::Missing`], [`FieldProblem::NotA`].
    pub fn array(&mut self, name: &str) -> Result<Vec<Json>, FieldError> {
        match self.required(name)? {
            Json::Array(items) => Ok(items),
            _ => Err(FieldError::not_a(self.path(name), "an array")),
        }
    }

    /// Takes the object `name` out.
    ///
    /// # Errors
    /// [`FieldProblem::Missing`], [`FieldProblem::NotA`].
    pub fn object(&mut self, name: &str) -> Result<Attributes, FieldError> {
        let value = self.required(name)?;
        Self::of(self.path(name), value)
    }

    /// Takes the string `name` out and reads it with `parse`.
    ///
    /// # Errors
    /// [`FieldProblem::Missing`], [`FieldProblem::NotA`], [`FieldProblem::Invalid`] with what `parse` says.
    pub fn parsed<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, FieldError> {
        let text = self.text(name)?;
        parse(&text).map_err(|error| FieldError::invalid(self.path(name), error))
    }

    /// Ends the reading: nothing may be left.
    ///
    /// # Errors
    /// [`FieldProblem::Unknown`] for the first attribute that nobody took, its name shortened and escaped.
    pub fn finish(self) -> Result<(), FieldError> {
        match self.rest.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name: String = name.chars().take(32).flat_map(char::escape_debug).collect();
                Err(FieldError { field: self.path(&name), problem: FieldProblem::Unknown })
            }
        }
    }
}
