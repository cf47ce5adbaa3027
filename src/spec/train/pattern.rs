//! Patterns of parameters' and layers' names.

/// Whether `pattern` fits the whole of `name`.
pub fn fits_pattern(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    // Taking each part where it first occurs leaves the most for those after it.
    for part in parts {
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    name.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name) in [
            ("fc.weight", "fc.weight"),
            ("*", "fc.weight"),
            ("fc.*", "fc.weight"),
            ("fc.weight*", "fc.weight"),
            ("*.weight", "fc.weight"),
            ("layer*.conv*.weight", "layer1.0.conv1.weight"),
            ("*aab", "aaab"),
            ("a**b", "ab"),
            ("*ab*ab", "abab"),
        ] {
            assert!(fits_pattern(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("fc", "fc.weight"),
            ("fc*bias", "fc.weight"),
            ("*.weight", "fc.weights"),
            ("a*a", "a"),
            ("*ab*ab", "ab"),
            ("", "fc.weight"),
            ("layer*.bn*.weight", "layer1.0.conv1.weight"),
        ] {
            assert!(!fits_pattern(pattern, name), "{pattern} {name}");
        }
    }
}
