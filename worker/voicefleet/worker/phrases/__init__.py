"""What a worker says by itself, in the language of the call: after a recovery, in place of a missing answer.

phrases.yaml  the built-in words, by language
audio/        recordings of them, and on what terms
clips         a recording as audio frames
table         which words and recordings a tier has, and which of them a call gets
"""
