"""Figures about a model that one can trust: tasks, and the models whose score is known.

    task.py      what a task is: documents, what is asked about each, and what is right
    requests.py  the three things that a model can be asked, and the answers
    runner.py    documents -> requests -> answers -> samples -> metrics, resumable
    known.py     models with known scores, which every task must give exactly these

``tasks.py`` has the table of all tasks.
"""
