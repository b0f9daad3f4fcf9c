import base64
import gzip
import unittest

from gateway_kit import texts

CONFIG = """#cloud-config
ssh_pwauth: false
write_files:
  - path: /a
    permissions: "0755"
    content: |
      #!/bin/sh

        indented
  - path: /b
    permissions: "0600"
    content: |
      X="1"
runcmd:
  - [a]
"""


class WriteFiles(unittest.TestCase):
    def test_files_come_out_as_they_were_put_in(self):
        files = texts.write_files(CONFIG)
        self.assertEqual(files, {"/a": (0o755, "#!/bin/sh\n\n  indented\n"), "/b": (0o600, 'X="1"\n')})


class Parts(unittest.TestCase):
    def message(self, body, end="--x--\n"):
        head = 'Content-Type: multipart/mixed; boundary="x"\nMIME-Version: 1.0\n\n--x\n'
        return head + "Content-Type: text/plain\n\n" + body + "\n" + end

    def test_parts_are_read(self):
        self.assertEqual(texts.parts(self.message("#!/bin/sh\n")), [("text/plain", b"#!/bin/sh\n")])

    def test_packed_user_data_is_read(self):
        packed = base64.b64encode(gzip.compress(self.message("a\n").encode())).decode()
        self.assertEqual(texts.parts(packed), [("text/plain", b"a\n")])

    def test_a_message_that_does_not_end_is_a_defect(self):
        with self.assertRaises(ValueError):
            texts.parts(self.message("a\n", end=""))

    def test_letters_in_a_part_of_7_bits_are_lost(self):
        self.assertNotEqual(texts.parts(self.message("grüße\n"))[0][1], "grüße\n".encode())


class Key(unittest.TestCase):
    def test_points_are_told_from_others(self):
        # The base point of RFC 8032, and a number that is none.
        self.assertTrue(texts.is_on_curve(bytes([0x58] + [0x66] * 31)))
        self.assertFalse(texts.is_on_curve(bytes([2] + [0] * 31)))


if __name__ == "__main__":
    unittest.main()
