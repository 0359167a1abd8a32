//! Check words for a digest, the same on every screen that shows it: eight for what is signed, four
//! for a key that is read out on a call.
//!
//! They help two people on a call, or one person in front of two screens, to notice that they look
//! at different things: an honest mistake, a stale page, a hurried glance. A word carries 8 bits, so
//! somebody who wants a second key with the same four words finds one in minutes, and a second
//! manifest with the same eight not. They are a comparing aid and no commitment: signatures, the log
//! and the forwarder use the whole digest.

use sha2::Digest as _;

use crate::domain::digest::Sha256;

/// Hashed before the digest, so that the words of a digest are not the start of another one of ours.
const TAG: &[u8] = b"countersign/words/v1\0";

/// The words of a digest: one for each of the first `N` bytes of SHA-256(tag, digest), at most 32.
pub fn check_words<const N: usize>(digest: &Sha256) -> [&'static str; N] {
    let hash = sha2::Sha256::new().chain_update(TAG).chain_update(digest.as_bytes()).finalize();
    std::array::from_fn(|place| WORDS[usize::from(hash[place])])
}

/// Short and plain words in alphabetical order; their order is part of the format.
///
/// No two begin with the same four letters or differ in a single letter.
#[rustfmt::skip]
pub const WORDS: [&str; 256] = [
    "acorn", "album", "alpine", "amber", "anchor", "animal", "antler", "apple", "apron", "arcade",
    "arrow", "artist", "atlas", "autumn", "avocado", "bacon", "badge", "bakery", "balloon",
    "bamboo", "banana", "barrel", "basket", "beetle", "bicycle", "biscuit", "blanket", "bottle",
    "breeze", "bridge", "bronze", "bucket", "butter", "cabin", "cactus", "camera", "candle",
    "canyon", "carpet", "castle", "celery", "cement", "cherry", "chimney", "circle", "citrus",
    "clover", "cobalt", "coffee", "comet", "copper", "cotton", "crayon", "cricket", "crystal",
    "curtain", "cushion", "daisy", "dancer", "desert", "diamond", "dinner", "dolphin", "donkey",
    "dragon", "drawer", "drummer", "eagle", "easel", "elbow", "elephant", "engine", "evening",
    "fabric", "falcon", "farmer", "feather", "fennel", "ferry", "fiddle", "flannel", "flute",
    "forest", "fossil", "fountain", "freckle", "furnace", "galaxy", "garden", "garlic", "gecko",
    "ginger", "giraffe", "glacier", "goblet", "gravel", "guitar", "hammer", "harbor", "hazel",
    "helmet", "hickory", "honey", "horizon", "hotel", "hummock", "husky", "iceberg", "igloo",
    "indigo", "insect", "island", "ivory", "jacket", "jaguar", "jasmine", "jelly", "jigsaw",
    "journal", "jungle", "juniper", "kayak", "kernel", "kettle", "kidney", "kitchen", "kiwi",
    "koala", "ladder", "lagoon", "lantern", "lemon", "library", "linen", "lizard", "lobster",
    "lunch", "magnet", "mango", "maple", "marble", "meadow", "mirror", "mitten", "morning",
    "muffin", "museum", "mustard", "napkin", "nectar", "needle", "nickel", "noodle", "novel",
    "nutmeg", "oasis", "ocean", "octopus", "olive", "onion", "opera", "orange", "orchid", "otter",
    "oven", "oyster", "pancake", "parrot", "peanut", "pebble", "pelican", "pencil", "pepper",
    "piano", "pickle", "pigeon", "pillow", "planet", "pony", "potato", "prairie", "puddle",
    "pumpkin", "puzzle", "pyramid", "quartz", "quiver", "rabbit", "radio", "raisin", "raven",
    "ribbon", "river", "robin", "rocket", "rooster", "rubber", "saddle", "salmon", "sandal",
    "satin", "saucer", "scarlet", "shadow", "shovel", "signal", "silver", "sketch", "spider",
    "spoon", "squirrel", "stable", "sugar", "summer", "sunset", "sweater", "syrup", "tablet",
    "tadpole", "teapot", "temple", "thimble", "ticket", "tiger", "timber", "toast", "tractor",
    "trumpet", "tulip", "tunnel", "turtle", "tuxedo", "umbrella", "unicorn", "valley", "vanilla",
    "velvet", "village", "violin", "volcano", "voyage", "vulture", "waffle", "wagon", "walnut",
    "walrus", "whistle", "window", "winter", "wombat", "yacht", "yellow", "yogurt", "zebra",
    "zigzag", "zipper",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A misheard or mistyped letter never gives another word of the list.
    fn one_letter_apart(a: &str, b: &str) -> bool {
        let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
        let prefix = short.bytes().zip(long.bytes()).take_while(|(x, y)| x == y).count();
        match long.len() - short.len() {
            0 => short[prefix + 1..] == long[prefix + 1..],
            1 => short[prefix..] == long[prefix + 1..],
            _ => false,
        }
    }

    #[test]
    fn every_byte_has_a_word_that_cannot_be_taken_for_another() {
        assert!(WORDS.is_sorted());
        let beginnings: BTreeSet<&str> = WORDS.iter().map(|word| &word[..4]).collect();
        assert_eq!(beginnings.len(), 256, "two words begin with the same four letters");
        for (place, word) in WORDS.iter().enumerate() {
            assert!((4..=8).contains(&word.len()), "{word}");
            assert!(word.bytes().all(|letter| letter.is_ascii_lowercase()), "{word}");
            for other in &WORDS[place + 1..] {
                assert!(!one_letter_apart(word, other), "{word} and {other}");
            }
        }
    }

    #[test]
    fn the_check_above_sees_words_one_letter_apart() {
        assert!(one_letter_apart("rocket", "pocket"));
        assert!(one_letter_apart("bacon", "beacon"));
        assert!(!one_letter_apart("lemon", "melon"));
    }

    #[test]
    fn words_of_known_digests_never_change() {
        assert_eq!(check_words(&Sha256::of(b"")), ["kettle", "rocket", "peanut", "journal"]);
        let four = ["balloon", "artist", "oasis", "kitchen"];
        assert_eq!(check_words(&Sha256::of(b"abc")), four);
        // The longer form begins with the shorter one.
        assert_eq!(check_words::<8>(&Sha256::of(b"abc"))[..4], four);
        assert_ne!(check_words::<8>(&Sha256::of(b"abd")), check_words(&Sha256::of(b"abc")));
    }
}
