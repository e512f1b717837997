"""The relations and markers of SemEval-2010 task 8, for its task, metric and file format."""

RELATIONS = (
    "Cause-Effect",
    "Component-Whole",
    "Content-Container",
    "Entity-Destination",
    "Entity-Origin",
    "Instrument-Agency",
    "Member-Collection",
    "Message-Topic",
    "Product-Producer",
)
OTHER = "Other"
LABELS = (*(f"{relation}({direction})" for relation in RELATIONS for direction in ("e1,e2", "e2,e1")), OTHER)
MARKERS = {"head": ("<e1>", "</e1>"), "tail": ("<e2>", "</e2>")}
