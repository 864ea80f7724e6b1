"""Checks of a user's own objective: is the reward the gradient of the value, are the stated facts true?"""
