// CSV (RFC 4180): a text as rows of cells, and back.

/**
 * The rows of a text, each a list of cells, as the service reads them: empty lines are left out, and a quote
 * within a cell that does not begin with one is a letter like any other.
 */
export function parse(text) {
  const rows = [];
  let row = [];
  let cell = "";
  let quoted = false;
  let fresh = true; // whether nothing of the cell was read yet
  const endCell = () => {
    row.push(cell);
    cell = "";
    fresh = true;
  };
  const endRow = () => {
    if (fresh && !row.length) return;
    endCell();
    rows.push(row);
    row = [];
  };
  for (let i = text.charCodeAt(0) === 0xfeff ? 1 : 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') cell += text[++i];
      else quoted = false;
    } else if (c === ",") endCell();
    else if (c === "\n" || c === "\r") endRow();
    else {
      if (c === '"' && fresh) quoted = true;
      else cell += c;
      fresh = false;
    }
  }
  endRow();
  return rows;
}

const quote = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);

const line = (row) => row.map((cell) => quote(String(cell))).join(",") || '""'; // nothing at all is no row

export const write = (rows) => rows.map(line).join("\r\n") + "\r\n";
