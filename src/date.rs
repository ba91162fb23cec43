//! Dates of HTTP (RFC 9110, section 5.6.7), as seconds since 1970-01-01 00:00 UTC.

const DAY: u64 = 24 * 60 * 60;
/// Years count from March, so that the day that not all of them have is the last one. This is the day 0 of year 0.
const MARCH_OF_YEAR_0: i64 = 719_468;
/// The Gregorian calendar repeats itself after 400 years.
const DAYS_OF_400_YEARS: i64 = 146_097;
/// The last second that is written with four digits for its year.
const LAST: u64 = 253_402_300_799;

/// From the first day of 1970 on.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Reads any of the three forms; what is before 1970 is long ago, and 0. `now` says which century a year of two digits means:
/// never more than 50 years ahead. That the day of the week is the date's is not asked for.
pub(crate) fn parse(text: &[u8], now: u64) -> Option<u64> {
    let mut words = [&text[..0]; 7];
    let mut count = 0;
    for (place, word) in words.iter_mut().zip(text.split(|byte| *byte == b' ')) {
        *place = word;
        count += 1;
    }
    match words[..count] {
        [weekday, day, month, year, time, b"GMT"] => {
            weekday_of(weekday.strip_suffix(b",")?, 3)?;
            seconds(number(year, 4)?, month, number(day, 2)?, time)
        }
        [weekday, date, time, b"GMT"] => {
            weekday_of(weekday.strip_suffix(b",")?, usize::MAX)?;
            let mut date = date.split(|byte| *byte == b'-');
            let (day, month, year) = (date.next()?, date.next()?, date.next()?);
            if date.next().is_some() {
                return None;
            }
            let (day, year) = (number(day, 2)?, number(year, 2)?);
            seconds(full_year(year, now), month, day, time)
        }
        [weekday, month, day, time, year] => {
            weekday_of(weekday, 3)?;
            seconds(number(year, 4)?, month, number(day, 2)?, time)
        }
        [weekday, month, b"", day, time, year] => {
            weekday_of(weekday, 3)?;
            seconds(number(year, 4)?, month, number(day, 1)?, time)
        }
        _ => None,
    }
}

/// Writes the one form that is to be written (IMF-fixdate). What is after the year 9999 is its last second.
pub(crate) fn format(seconds: u64) -> String {
    let seconds = seconds.min(LAST);
    let (day, rest) = (seconds / DAY, seconds % DAY);
    let weekday = WEEKDAYS[(day % 7) as usize];
    let (year, month, of_month) = civil(day);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!(
        "{}, {of_month:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        &weekday[..3],
        MONTHS[month],
    )
}

fn weekday_of(word: &[u8], letters: usize) -> Option<()> {
    let mut known = WEEKDAYS.iter().map(|name| name.as_bytes());
    known
        .any(|name| &name[..letters.min(name.len())] == word)
        .then_some(())
}

/// A number of exactly so many digits.
fn number(word: &[u8], digits: usize) -> Option<u64> {
    let is_number = word.len() == digits && word.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        word.iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    })
}

fn seconds(year: u64, month: &[u8], day: u64, time: &[u8]) -> Option<u64> {
    let month = MONTHS.iter().position(|name| name.as_bytes() == month)?;
    let days = days(year, month, day)?;
    let mut time = time.split(|byte| *byte == b':');
    let mut part = |most| number(time.next()?, 2).filter(|part| *part <= most);
    // A leap second is there.
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?);
    if time.next().is_some() {
        return None;
    }
    let Ok(days) = u64::try_from(days) else {
        return Some(0);
    };
    Some(days * DAY + hour * 3600 + minute * 60 + second)
}

/// The year that ends in these two digits and is at most 50 years ahead.
fn full_year(digits: u64, now: u64) -> u64 {
    let (this, ..) = civil(now.min(LAST) / DAY);
    let year = this - this % 100 + digits;
    match year > this + 50 {
        true => year - 100,
        false if year + 100 <= this + 50 => year + 100,
        false => year,
    }
}

/// The days from 1970 on; `None` if the month, of which the first is 0, has no such day.
fn days(year: u64, month: usize, day: u64) -> Option<i64> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 if is_leap => 29,
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    };
    if day == 0 || day > last {
        return None;
    }
    let from_march = (month as i64 + 10) % 12;
    let year = year as i64 - i64::from(month < 2);
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From March on the months have 31, 30, 31, 30 and 31 days, and once more.
    let before = (153 * from_march + 2) / 5;
    Some(365 * year + leap_days + before + day as i64 - 1 - MARCH_OF_YEAR_0)
}

/// Year, month from 0 on, and day of this day from 1970 on.
fn civil(day: u64) -> (u64, usize, u64) {
    let day = day as i64 + MARCH_OF_YEAR_0;
    let (cycle, of_cycle) = (day / DAYS_OF_400_YEARS, day % DAYS_OF_400_YEARS);
    // Leap days, those that are left out, and the one that is not, up to this day.
    let leap_days = of_cycle / 1460 - of_cycle / 36_524 + of_cycle / 146_096;
    let of_400 = (of_cycle - leap_days) / 365;
    let of_year = of_cycle - (365 * of_400 + of_400 / 4 - of_400 / 100);
    let from_march = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = cycle * 400 + of_400 + i64::from(month < 2);
    (year as u64, month as usize, of_month as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 2024-06-01 00:00.
    const NOW: u64 = 1_717_200_000;

    #[test]
    fn three_forms_are_read() {
        for (text, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Wed Nov 16 08:49:37 1994", Some(784_975_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", Some(0)),
            ("Sat, 01 Jan 0000 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
            ("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(LAST)),
            // Which day of the week it is says nobody.
            ("Mon, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            // At most 50 years ahead, by the year.
            ("Sunday, 01-Jan-74 00:00:00 GMT", Some(3_281_990_400)),
            ("Sunday, 01-Jan-75 00:00:00 GMT", Some(157_766_400)),
            ("Sunday, 01-Jan-24 00:00:00 GMT", Some(1_704_067_200)),
            ("", None),
            ("120", None),
            ("soon", None),
            ("Sun, 06 Nov 1994 08:49:37 UTC", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT ", None),
            (" Sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT GMT", None),
            ("Sun 06 Nov 1994 08:49:37 GMT", None),
            ("Sunday, 06 Nov 1994 08:49:37 GMT", None),
            ("sun, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 8:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37:00 GMT", None),
            ("Sun, 06 Nov 1994 24:00:00 GMT", None),
            ("Sun, 06 Nov 1994 00:60:00 GMT", None),
            ("Sun, 06 Nov 1994 00:00:61 GMT", None),
            ("Sun, 00 Nov 1994 00:00:00 GMT", None),
            ("Sun, 31 Nov 1994 00:00:00 GMT", None),
            ("Sun, 29 Feb 1900 00:00:00 GMT", None),
            ("Sun, 29 Feb 2023 00:00:00 GMT", None),
            ("Sun, +6 Nov 1994 00:00:00 GMT", None),
            ("Sun, 06-Nov-94 08:49:37 GMT", None),
            ("Sunday, 06-Nov-1994 08:49:37 GMT", None),
            ("Sunday, 06-Nov-94-1 08:49:37 GMT", None),
            ("Sun Nov 6 08:49:37 1994", None),
            ("Sun Nov  16 08:49:37 1994", None),
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), expected, "{text:?}");
        }
    }

    #[test]
    fn one_form_is_written() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(format(seconds), expected);
        }
    }

    /// Counted day by day, from the first to the last that can be written.
    #[test]
    fn every_day_is_the_one_after_the_day_before() {
        let (mut year, mut month, mut of_month) = (1970, 0, 1);
        for day in 0..=LAST / DAY {
            assert_eq!(civil(day), (year, month, of_month));
            assert_eq!(days(year, month, of_month), Some(day as i64));
            of_month += 1;
            if days(year, month, of_month).is_none() {
                (month, of_month) = (month + 1, 1);
            }
            if month == 12 {
                (year, month) = (year + 1, 0);
            }
        }
        assert_eq!((year, month, of_month), (10_000, 0, 1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_in_each_form(seconds in 0..=LAST, now in 0..=LAST) {
            let fixed = format(seconds);
            prop_assert_eq!(parse(fixed.as_bytes(), now), Some(seconds));
            let words: Vec<_> = fixed.split([' ', ',']).collect();
            let [weekday, _, day, month, year, time, _] = words[..] else {
                return Err(TestCaseError::fail(fixed));
            };
            let padded = day.replacen('0', if day.starts_with('0') { " " } else { "0" }, 1);
            let asctime = format!("{weekday} {month} {padded} {time} {year}");
            prop_assert_eq!(parse(asctime.as_bytes(), now), Some(seconds), "{}", asctime);

            let full = WEEKDAYS.iter().find(|name| name.starts_with(weekday)).unwrap();
            let obsolete = format!("{full}, {day}-{month}-{} {time} GMT", &year[2..]);
            // From nearby it is the same, and a day that the other century does not have is none.
            let near = seconds.saturating_sub(40 * 365 * DAY);
            prop_assert_eq!(parse(obsolete.as_bytes(), near), Some(seconds), "{}", obsolete);
            if let Some(read) = parse(obsolete.as_bytes(), now) {
                prop_assert!(read <= now + 51 * 366 * DAY);
                prop_assert!(read + 50 * 366 * DAY >= now);
            }
        }

        #[test]
        fn nothing_breaks_it(text: Vec<u8>, words in "[A-Za-z0-9:, -]{0,40}", now: u64) {
            let _ = parse(&text, now);
            let _ = parse(words.as_bytes(), now);
        }
    }
}
