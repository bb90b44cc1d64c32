"""The parts of bench/training that need no library of the peers."""

from bench.training import table


def test_page_is_that_of_the_results() -> None:
    """RESULTS.md says what the measurements say: it is written by a script and never edited."""
    assert (table.FOLDER / "RESULTS.md").read_text(encoding="utf-8") == table.page()


def test_ratio_is_that_to_the_faster_pytorch() -> None:
    """The column of PyTorch's best takes the variant with the least time; SiLU has no scikit-learn."""
    case = {
        "network": "30",
        "batch": 128,
        "activation": "silu",
        "inputs": "lecture-bikes",
        "n_inputs": 56,
        "microseconds": {
            "ours": 30.0,
            "products alone": 10.0,
            "PyTorch eager": 240.0,
            "PyTorch compiled": 180.0,
        },
        "ratio": {
            "ours": [1.0, 1.0, 1.0],
            "products alone": [0.3, 0.33, 0.4],
            "PyTorch eager": [7.0, 8.0, 9.0],
            "PyTorch compiled": [5.0, 6.0, 7.0],
        },
    }
    versions = {"numpy": "2", "torch": "2", "scikit-learn": "1"}
    found = {"versions": versions, "rounds": 3, "load": 0.5, "processor": "one", "vectors": "AVX"}
    text = table.steps({"cases": [case], **found})
    (line,) = [line for line in text.splitlines() if line.startswith("| 30 |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[-3:] == ["6.00 (5.00 to 7.00)", "", "0.33 (0.30 to 0.40)"]
