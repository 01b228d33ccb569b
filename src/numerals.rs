//! Numbers as people read them: with commas between thousands, and with their noun.

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2,000 entries`, `3 witnesses`.
pub fn counted(number: u64, noun: &str) -> String {
    let (stem, ending) = match noun.strip_suffix('y') {
        _ if number == 1 => (noun, ""),
        Some(stem) => (stem, "ies"),
        None if noun.ends_with('s') => (noun, "es"),
        None => (noun, "s"),
    };
    format!("{} {stem}{ending}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_three() {
        assert_eq!(
            [0, 12, 123, 1234, 65_871, 1_204_118].map(grouped),
            ["0", "12", "123", "1,234", "65,871", "1,204,118"]
        );
    }

    #[test]
    fn a_number_agrees_with_its_noun() {
        assert_eq!(
            [0, 1, 2_000].map(|n| counted(n, "record")),
            ["0 records", "1 record", "2,000 records"]
        );
        assert_eq!([1, 2].map(|n| counted(n, "feed entry")), ["1 feed entry", "2 feed entries"]);
        assert_eq!([1, 2].map(|n| counted(n, "witness")), ["1 witness", "2 witnesses"]);
    }
}
