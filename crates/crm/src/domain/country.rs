//! ISO 3166-1 alpha-2 country codes.

/// The officially assigned codes, two letters each, in order (<https://www.iso.org/obp/ui/#search>).
const ASSIGNED: &str = "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCGCHCICKCLCMCN\
COCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGLGMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQ\
IRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLALBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINL\
NONPNRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSVSXSYSZTCTDTFTGTHTJTKTLTMTNTOTR\
TTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSYEYTZAZMZW";

/// The code in upper case; `None` if it is not assigned.
#[must_use]
pub fn normalised(code: &str) -> Option<String> {
    let upper = code.trim().to_ascii_uppercase();
    let assigned = ASSIGNED
        .as_bytes()
        .chunks(2)
        .any(|known| known == upper.as_bytes());
    assigned.then_some(upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_in_order() {
        let codes: Vec<&[u8]> = ASSIGNED.as_bytes().chunks(2).collect();
        assert_eq!(codes.len(), 249);
        assert!(codes.is_sorted());
    }

    #[test]
    fn only_assigned_codes_are_known() {
        assert_eq!(normalised("de").as_deref(), Some("DE"));
        for bad in ["", "D", "DEU", "XX", "d\u{e9}", "EF"] {
            assert_eq!(normalised(bad), None, "{bad}");
        }
    }
}
