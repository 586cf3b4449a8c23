//! Names of many hosts in one, as inventories write them: `node[01:10]`, `node[01:10:2].example`, `node[a:f]`.
//!
//! What enters is such a name; what leaves is the names that it stands for, in order, or why it stands for none. Source: docs.ansible.com, "Adding ranges of hosts".

/// Most hosts of one name.
const MOST: usize = 10_000;

/// The names that one name stands for.
pub(super) fn expand(pattern: &str) -> Result<Vec<String>, String> {
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('[') {
        let (range, after) = behind.split_once(']').ok_or("a range begins with `[` and does not end")?;
        let parts = one_range(range)?;
        if names.len().saturating_mul(parts.len()) > MOST {
            return Err(format!("it stands for more than {MOST} hosts"));
        }
        names = names
            .iter()
            .flat_map(|name| parts.iter().map(move |part| format!("{name}{before}{part}")))
            .collect();
        rest = after;
    }
    names.iter_mut().for_each(|name| name.push_str(rest));
    Ok(names)
}

fn one_range(range: &str) -> Result<Vec<String>, String> {
    let unknown = || "a range is written [01:10], [01:10:2] or [a:f]".to_owned();
    let mut parts = range.split(':');
    let (Some(first), Some(last), step, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(unknown());
    };
    let step: usize = step.unwrap_or("1").parse().ok().filter(|step| *step > 0).ok_or_else(unknown)?;
    if let ([one], [other]) = (first.as_bytes(), last.as_bytes())
        && one.is_ascii_alphabetic()
        && other.is_ascii_alphabetic()
    {
        return Ok((*one..=*other).step_by(step).map(|letter| char::from(letter).to_string()).collect());
    }
    let first_number: usize = if first.is_empty() { 0 } else { first.parse().map_err(|_| unknown())? };
    let last_number: usize = last.parse().map_err(|_| unknown())?;
    let count = last_number.saturating_sub(first_number) / step;
    if count > MOST {
        return Err(format!("it stands for more than {MOST} hosts"));
    }
    // Zeros before the first number are wanted before all of them.
    let width = if first.starts_with('0') { first.len() } else { 0 };
    Ok((first_number..=last_number).step_by(step).map(|number| format!("{number:0width$}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_stands_for_each_of_its_hosts() {
        for (pattern, names) in [
            ("node-1", vec!["node-1"]),
            ("node[2:4]", vec!["node2", "node3", "node4"]),
            ("n[08:10].example", vec!["n08.example", "n09.example", "n10.example"]),
            ("n[1:5:2]", vec!["n1", "n3", "n5"]),
            ("rack[a:b]-[1:2]", vec!["racka-1", "racka-2", "rackb-1", "rackb-2"]),
            ("n[3:2]", vec![]),
        ] {
            assert_eq!(expand(pattern).unwrap(), names, "{pattern}");
        }
        for pattern in
            ["n[1:2", "n[1]", "n[x:12]", "n[1:2:0]", "n[1:2:3:4]", "n[0:99999999999]", "n[1:200][1:200]"]
        {
            assert!(expand(pattern).is_err(), "{pattern}");
        }
    }
}
