//! Just enough JSON to read the description of a network and to write observations.

use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// As written, so that large integers stay exact.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Map(BTreeMap<String, Json>),
}

impl Json {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text };
        let value = reader.value(0)?;
        reader.space();
        if reader.rest.is_empty() {
            Ok(value)
        } else {
            Err("something follows the JSON value".to_owned())
        }
    }

    /// The value of a key, `Null` when there is none.
    pub fn at(&self, key: &str) -> &Json {
        match self {
            Self::Map(map) => map.get(key).unwrap_or(&Self::Null),
            _ => &Self::Null,
        }
    }

    pub fn list(&self) -> &[Json] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            _ => None,
        }
    }
}

/// A text as a JSON string.
pub fn quote(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
    }

    fn eat(&mut self, token: &str) -> bool {
        self.space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn need(&mut self, token: &str) -> Result<(), String> {
        if self.eat(token) {
            return Ok(());
        }
        Err(format!(
            "expected {token:?} before {:?}",
            self.rest.chars().take(20).collect::<String>()
        ))
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > 32 {
            return Err("nested too deeply".to_owned());
        }
        for (token, value) in [
            ("null", Json::Null),
            ("true", Json::Bool(true)),
            ("false", Json::Bool(false)),
        ] {
            if self.eat(token) {
                return Ok(value);
            }
        }
        if self.eat("[") {
            let mut list = Vec::new();
            while !self.eat("]") {
                if !list.is_empty() {
                    self.need(",")?;
                }
                list.push(self.value(depth + 1)?);
            }
            return Ok(Json::List(list));
        }
        if self.eat("{") {
            let mut map = BTreeMap::new();
            while !self.eat("}") {
                if !map.is_empty() {
                    self.need(",")?;
                }
                self.need("\"")?;
                let key = self.string()?;
                self.need(":")?;
                map.insert(key, self.value(depth + 1)?);
            }
            return Ok(Json::Map(map));
        }
        if self.eat("\"") {
            return Ok(Json::Text(self.string()?));
        }
        let end = self
            .rest
            .find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let (number, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if number.is_empty() {
            return Err("expected a JSON value".to_owned());
        }
        self.rest = rest;
        Ok(Json::Number(number.to_owned()))
    }

    /// The rest of a string, its opening quote being eaten.
    fn string(&mut self) -> Result<String, String> {
        let mut out = String::new();
        let mut chars = self.rest.chars();
        loop {
            match chars.next().ok_or("a string that does not end")? {
                '"' => break,
                '\\' => out.push(match chars.next().ok_or("a string that does not end")? {
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    'b' => '\u{8}',
                    'f' => '\u{c}',
                    'u' => {
                        let hex: String = chars.by_ref().take(4).collect();
                        let code = u32::from_str_radix(&hex, 16)
                            .map_err(|_| format!("\\u{hex} is no character"))?;
                        char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
                    }
                    other => other,
                }),
                c => out.push(c),
            }
        }
        self.rest = chars.as_str();
        Ok(out)
    }
}
