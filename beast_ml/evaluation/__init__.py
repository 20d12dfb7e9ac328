"""Does routing pay, by how much, with what interval?"""
