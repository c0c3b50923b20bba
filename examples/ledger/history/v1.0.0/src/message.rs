//! Requests and replies: a verb and named fields. A reader ignores the fields it does not know.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub verb: String,
    fields: Vec<(String, String)>,
}

impl Message {
    pub fn new(verb: &str) -> Self {
        Self {
            verb: verb.to_owned(),
            fields: Vec::new(),
        }
    }

    pub fn ok() -> Self {
        Self::new("OK")
    }

    pub fn refuse(why: impl fmt::Display) -> Self {
        Self::new("ERR").with("why", why)
    }

    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.fields.push((key.to_owned(), value.to_string()));
        self
    }

    pub fn get(&self, key: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, value)| value.as_str())
    }

    pub fn need(&self, key: &str) -> Result<&str, String> {
        self.get(key)
            .ok_or_else(|| format!("{} without {key}", self.verb))
    }

    pub fn number(&self, key: &str) -> Result<u64, String> {
        self.need(key)?
            .parse()
            .map_err(|_| format!("{key} of {} is not a number", self.verb))
    }

    pub fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let mut message = Self::new(words.next().ok_or("an empty message")?);
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("{word:?} is no field"))?;
            message.fields.push((key.to_owned(), unescape(value)?));
        }
        Ok(message)
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.verb)?;
        for (key, value) in &self.fields {
            write!(f, " {key}={}", escape(value))?;
        }
        Ok(())
    }
}

/// Everything that would end a field or a line becomes `%xx`.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if byte != b'%' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

fn unescape(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().unwrap_or(b'?'), rest.next().unwrap_or(b'?')];
        let code = std::str::from_utf8(&digits)
            .ok()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(code.ok_or_else(|| format!("{text:?} is badly escaped"))?);
    }
    String::from_utf8(bytes).map_err(|_| format!("{text:?} is not UTF-8"))
}
