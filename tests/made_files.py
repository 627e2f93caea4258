"""Files of scores, as the command line writes them."""

SMALL = ("--text", "file:text.txt", "--samples", "6", "--length", "16")


def scored(run, folder, *criteria) -> None:
    code, _, err = run("score", *criteria, "--model", folder, *SMALL, "--gradient-samples", 3, "--dtype", "float32")
    assert code == 0, err
