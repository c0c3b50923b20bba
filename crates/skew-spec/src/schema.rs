//! JSON Schemas of what people write, for editors and for `skew schema`.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::raw::RawSpec;
use super::raw_recipe::RawRecipe;

/// The JSON Schema of a spec.
pub fn schema() -> Value {
    titled::<RawSpec>("skew spec")
}

/// The JSON Schema of a recipe's file.
pub fn recipe_schema() -> Value {
    titled::<RawRecipe>("skew recipe")
}

fn titled<T: JsonSchema>(title: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    let mut schema = schema.to_value();
    tidy(&mut schema);
    schema
}

/// TOML has no null, and what a definition is called in this program says nothing to people.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|kind| kind != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    map.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(alternatives)) = map.get_mut("anyOf") {
                alternatives.retain(|alternative| alternative["type"] != "null");
                if let [Value::Object(only)] = alternatives.as_slice() {
                    let only = only.clone();
                    map.remove("anyOf");
                    map.extend(only.into_iter().filter(|(key, _)| key != "description"));
                }
            }
            if let Some(Value::String(reference)) = map.get_mut("$ref") {
                *reference = reference.replace("/Raw", "/");
            }
            if let Some(Value::Object(definitions)) = map.get_mut("$defs") {
                let named = std::mem::take(definitions).into_iter();
                definitions.extend(named.map(|(name, schema)| (name.trim_start_matches("Raw").to_owned(), schema)));
            }
            map.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE_REFERENCES=1 cargo test` writes them anew.
    #[test]
    fn references_are_fresh() {
        let directory = skew_testing::repository("docs/reference");
        for (name, schema) in [("spec.schema.json", schema()), ("recipe.schema.json", recipe_schema())] {
            let fresh = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
            let path = directory.join(name);
            if std::env::var_os("UPDATE_REFERENCES").is_some() {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, &fresh).unwrap();
            }
            let written = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(written == fresh, "{name} is stale: run the tests once with UPDATE_REFERENCES=1");
        }
    }
}
