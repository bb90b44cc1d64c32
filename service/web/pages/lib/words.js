// Numbers and dates as people read them.

const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const dates = new Intl.DateTimeFormat("en-GB", {
  weekday: "long",
  day: "numeric",
  month: "long",
  year: "numeric",
  timeZone: "UTC",
});

export const count = (number) => whole.format(number);

/** A number with its sign, the minus as wide as the plus. */
export const signed = (number, digits = 0) => {
  const text = Math.abs(number).toFixed(digits);
  return Number(text) === 0 ? text : `${number < 0 ? "−" : "+"}${text}`;
};

export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)}%`;

export const hourName = (hour) => `${String(hour).padStart(2, "0")}:00`;

/** "2012-06-01" as "Friday 1 June 2012"; "" for what is no date. */
export const dayName = (date) => {
  const time = Date.parse(`${date}T00:00:00Z`);
  return Number.isNaN(time) ? "" : dates.format(time).replace(",", "");
};

/** The date some days later, as YYYY-MM-DD. */
export const later = (date, days) =>
  new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);

export const sentence = (words) => {
  const text = words.trim();
  return text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
};

/** "light_precipitation" as "light precipitation". */
export const plain = (name) => name.replaceAll("_", " ");

/** A number to so many digits, without an exponent where one can do without. */
export const digits = (number, n = 3) => {
  if (number === 0) return "0";
  const magnitude = Math.floor(Math.log10(Math.abs(number)));
  const text = magnitude < -6 ? number.toExponential(n - 1) : number.toFixed(Math.max(0, n - 1 - magnitude));
  return text.replace("-", "−");
};
