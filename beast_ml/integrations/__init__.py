"""Other people's software as a client of `beast serve`; each module needs the package that it is named after.

They speak HTTP through OpenAI's client and import nothing else of beast-ml, so they run in the other package's
environment, whatever that holds back. OpenAI's client itself needs no module: see this folder's README.
"""
